package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// usual is the commit of an outcome by who made claimOf(mine), and knows it.
func usual(outcome string) backend.CommitRequest {
	claim, request := claimOf(mine), commitOf(mine, backend.Complete, outcome)
	request.Fingerprint, request.Metadata = claim.Fingerprint, claim.Metadata
	request.Attempt, request.Fence = 1, claim.Fence
	return request
}

func TestUsualCommit(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		for _, size := range []int{0, 10, 100_000} {
			key, outcome := s.key(), strings.Repeat("o", size)
			s.claim(key, claimOf(mine))
			for range 2 { // the second is a repeated send
				if code, err := s.commitRaw(key, usual(outcome)); code != 1 || err != nil {
					t.Fatalf("%d bytes: answers %d, %v", size, code, err)
				}
			}
			record, err := s.look(key)
			if err != nil || record.State != backend.Completed || record.Token != mine || record.Fence != 40 || record.Attempt != 1 ||
				string(record.Fingerprint) != "claim's print" || string(record.Metadata) != "claim's data" ||
				string(record.Outcome) != outcome || round(record.Remaining) != retention {
				t.Errorf("%d bytes: the record is %+v, %v", size, record, err)
			}
			if code, err := s.commitRaw(key, usual("another")); code != 0 || err != nil {
				t.Errorf("%d bytes: another outcome answers %d, %v", size, code, err)
			}
		}
	})
}

// What differs in the claim's bytes alone stays the claim's.
func TestUsualCommitThatRemembersWrongly(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		key, request := s.key(), usual("outcome")
		s.claim(key, claimOf(mine))
		request.Fingerprint, request.Metadata = []byte("other's print"), []byte("other's data")
		if code, err := s.commitRaw(key, request); code != 1 || err != nil {
			t.Fatalf("answers %d, %v", code, err)
		}
		if record, err := s.look(key); err != nil || string(record.Fingerprint) != "claim's print" || string(record.Metadata) != "claim's data" {
			t.Errorf("the record is %+v, %v", record, err)
		}
	})
}

// A broken frame stays what it is, however much of it is the caller's claim.
func TestUsualCommitOfABrokenFrame(t *testing.T) {
	claim := claimOf(mine)
	good := string(wire.AppendClaim(nil, &claim))
	head := string(wire.AppendCommit(nil, &backend.CommitRequest{
		Token: mine, Ending: backend.Complete, Attempt: 1, Fence: 40,
		Fingerprint: claim.Fingerprint, Metadata: claim.Metadata, Retention: retention,
	}))
	for name, frame := range map[string]string{
		"truncated":    good[:len(good)-1],
		"bytes behind": good + "o",
		"no keep":      good[:32] + "\x00\x00\x00\x00\x00" + good[37:],
		"newer":        good[:1] + "\x21" + good[2:],
		"magic":        "\xc2" + good[1:],
		"header only":  good[:37],
		"short header": good[:33],
		// The other's body, where the outcome would make up for what is missing.
		"completed": head[:1] + "\x11" + head[2:],
	} {
		onServers(t, func(t *testing.T, s *server) {
			key := s.key()
			s.do("SET", key, frame, "PX", "100000")
			code, err := s.commitRaw(key, usual("outcome"))
			var reply redistest.ReplyError
			if !errors.As(err, &reply) || !errors.Is(wire.Classify(string(reply)), backend.ErrCorrupt) {
				t.Errorf("%s: answers %d, %v", name, code, err)
			}
			if now := s.do("GET", key); now != frame {
				t.Errorf("%s: was %q, is %q", name, frame, now)
			}
		})
	}
}
