package wire_test

import (
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// Messages carry small outcomes, and never fail a commit.
func TestCommitPublishes(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		for _, c := range []struct {
			name    string
			request backend.CommitRequest
			large   bool
			settles bool
		}{
			{"small", commitOf(mine, backend.Complete, "outcome"), false, true},
			{"medium", commitOf(mine, backend.Complete, strings.Repeat("o", 4096)), false, false},
			{"large", commitOf(mine, backend.Complete, strings.Repeat("o", 4096)), true, false},
			{"release", commitOf(mine, backend.Release, ""), false, false},
			{"abandon", commitOf(mine, backend.Abandon, ""), false, false},
		} {
			key := s.key()
			s.claim(key, claimOf(mine))
			listener, err := redistest.Dial(s.conn.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := listener.Do("SUBSCRIBE", key); err != nil {
				t.Fatal(err)
			}
			if c.large {
				_, err = s.commitLargeRaw(key, "", c.request)
			} else {
				_, err = s.commitRaw(key, c.request)
			}
			if err != nil {
				t.Fatal(err)
			}
			message, err := listener.Read()
			if err != nil {
				t.Fatal(err)
			}
			payload := message.([]any)[2].(string)
			record, ok := wire.ReadPush(payload)
			if ok != c.settles || ok && (record.Token != mine || string(record.Metadata) != "claim's data") {
				t.Errorf("%s: message of %d bytes, %v, %+v", c.name, len(payload), ok, record)
			}
			listener.Close()
		}
		key := s.key()
		s.claim(key, claimOf(mine))
		request := commitOf(mine, backend.Complete, "o")
		reply := s.do("EVAL", wire.CommitScript, "1", key, string(wire.AppendCommit(nil, &request)), "1000", "NOSUCHCOMMAND", "0")
		if reply.(int64) != 1 {
			t.Errorf("a commit that can't publish answers %v", reply)
		}
	})
}
