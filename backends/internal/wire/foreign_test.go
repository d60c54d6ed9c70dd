package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What isn't a record is never changed, except by Forget.
func TestForeignValues(t *testing.T) {
	good := string(wire.AppendClaim(nil, &backend.ClaimRequest{Token: mine, Lease: lease, Keep: keep, Fence: 40}))
	values := map[string]func(s *server, key string){
		"empty":        func(s *server, key string) { s.do("SET", key, "", "PX", "100000") },
		"text":         func(s *server, key string) { s.do("SET", key, strings.Repeat("text ", 20), "PX", "100000") },
		"truncated":    func(s *server, key string) { s.do("SET", key, good[:30], "PX", "100000") },
		"newer":        func(s *server, key string) { s.do("SET", key, good[:1]+"\x21"+good[2:], "PX", "100000") },
		"bytes behind": func(s *server, key string) { s.do("SET", key, good+"x", "PX", "100000") },
		"no keep":      func(s *server, key string) { s.do("SET", key, good[:32]+"\x00\x00\x00\x00\x00", "PX", "100000") },
		"no token": func(s *server, key string) {
			s.do("SET", key, good[:2]+strings.Repeat("\x00", 16)+good[18:], "PX", "100000")
		},
		"fence": func(s *server, key string) { s.do("SET", key, good[:22]+"\x20"+good[23:], "PX", "100000") },
		"hash":  func(s *server, key string) { s.do("HSET", key, "field", "value"); s.do("PEXPIRE", key, "100000") },
		"list":  func(s *server, key string) { s.do("RPUSH", key, "value"); s.do("PEXPIRE", key, "100000") },
	}
	onServers(t, func(t *testing.T, s *server) {
		for name, prepare := range values {
			t.Run(name, func(t *testing.T) {
				s.t = t
				key := s.key()
				prepare(s, key)
				dump := func() string {
					return fmt.Sprint(s.do("TYPE", key), (s.do("PTTL", key).(int64)+9999)/10_000, s.do("EXISTS", key))
				}
				before := dump()
				renewal := claimOf(mine)
				renewal.Renewal, renewal.Attempt = true, 1
				takeover := claimOf(mine)
				takeover.Seen = 40
				for verb, err := range map[string]error{
					"claim":    second(s.claimRaw(key, claimOf(mine))),
					"takeover": second(s.claimRaw(key, takeover)),
					"renewal":  second(s.claimRaw(key, renewal)),
					"complete": second(s.commitRaw(key, commitOf(mine, backend.Complete, "o"))),
					"release":  second(s.commitRaw(key, commitOf(mine, backend.Release, ""))),
					"abandon":  second(s.commitRaw(key, commitOf(mine, backend.Abandon, ""))),
					"large":    second(s.commitLargeRaw(key, "", commitOf(mine, backend.Complete, "o"))),
					"look":     second(s.look(key)),
				} {
					var reply redistest.ReplyError
					if errors.As(err, &reply) {
						err = wire.Classify(string(reply))
					}
					if !errors.Is(err, backend.ErrCorrupt) {
						t.Errorf("%s answers %v (%v), want ErrCorrupt", verb, err, reply)
					}
				}
				if now := dump(); now != before {
					t.Errorf("was %s, is %s", before, now)
				}
				if n := s.do("EVAL", wire.ForgetScript, "1", key, wire.Publish).(int64); n != 1 {
					t.Errorf("forget removed %d keys", n)
				}
			})
		}
	})
}

func second[A any](_ A, err error) error { return err }

func TestClaimWithoutTTLIsCorrupt(t *testing.T) {
	onServers(t, func(t *testing.T, s *server) {
		key := s.key()
		s.claim(key, claimOf(theirs))
		s.do("PERSIST", key)
		if _, err := s.claimRaw(key, claimOf(mine)); err == nil || wire.Classify(err.Error()) != backend.ErrCorrupt {
			t.Errorf("a claim answers %v", err)
		}
		if _, err := s.look(key); !errors.Is(err, backend.ErrCorrupt) {
			t.Errorf("a look answers %v", err)
		}
	})
}
