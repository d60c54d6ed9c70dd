package redigo_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/redistest"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/conformance"
)

// harness is that of a real server with a pool per backend. Own servers of it are
// paused, and have their connections cut.
func harness(server *redistest.Server, options ...redis.DialOption) conformance.Harness {
	var prefix string
	return conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			prefix = redistest.Prefix(tb)
			mine := prefix
			return func() backend.Backend { return openAt(tb, newPool(tb, server.Addr(), options...), mine) }
		},
		Corrupt: func(tb testing.TB, key string) {
			layout, err := wire.NewLayout(prefix)
			if err != nil {
				tb.Fatal(err)
			}
			server.Do(tb, "SET", layout.Record(key), "no record", "PX", "100000")
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
			return func() backend.Backend { return openAt(tb, newPool(tb, mini.Addr()), "") }
		},
	})
}
