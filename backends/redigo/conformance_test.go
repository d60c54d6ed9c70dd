package redigo_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

// harness is that of a server of the test's own, which is paused and loses its
// connections, with a pool per backend.
func harness(server *redistest.Server, options ...redis.DialOption) conformance.Harness {
	return conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			prefix := redistest.Prefix(tb)
			return func() backend.Backend { return openAt(tb, newPool(tb, server.Addr(), options...), prefix) }
		},
		Corrupt: func(tb testing.TB, key string) {
			for _, name := range server.Do(tb, "KEYS", "*:"+key).([]any) {
				server.Do(tb, "SET", name.(string), "no record", "PX", "100000")
			}
		},
		Disconnect: func(tb testing.TB) {
			conn, err := redistest.Dial(server.Addr())
			if err != nil {
				tb.Fatal(err)
			}
			defer conn.Close()
			for _, kind := range []string{"normal", "pubsub"} {
				if _, err := conn.Do("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"); err != nil {
					tb.Fatal(err)
				}
			}
		},
		Silence: func(tb testing.TB) (restore func()) {
			server.Pause(tb)
			return func() { server.Resume(tb) }
		},
	}
}

func TestConformanceOnRedis(t *testing.T) {
	conformance.Run(t, harness(redistest.Start(t)))
}

func TestConformanceOnMiniredis(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			mini := redistest.Mini(tb)
			redistest.Tick(tb, mini)
			return func() backend.Backend {
				pool := newPool(tb, mini.Addr())
				pool.MaxIdle = 4 // miniredis has a goroutine for each connection
				return openAt(tb, pool, "")
			}
		},
	})
}

// A user of the server that may do what the package's documentation says, and
// nothing else.
func TestConformanceOfTheLeastUser(t *testing.T) {
	server := redistest.Start(t)
	least := []string{
		"ACL", "SETUSER", "reprise", "on", ">secret", "~t*", "&t*", "+eval", "+evalsha", "+set", "+get", "+getrange", "+strlen",
		"+exists", "+pttl", "+pexpire", "+rename", "+del", "+publish", "+subscribe", "+unsubscribe", "+ping",
	}
	server.Do(t, least...)
	conformance.Run(t, harness(server, redis.DialUsername("reprise"), redis.DialPassword("secret")))
}
