package rueidis_test

import (
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

// stores are the prefixes of the stores that a harness has opened on one server.
type stores struct {
	addr string

	mu       sync.Mutex
	prefixes []string
}

func (s *stores) open(tb testing.TB) rueidis.Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	options := prefixed(tb)
	s.prefixes = append(s.prefixes, options.Prefix)
	return options
}

// corrupt makes the record of a key unreadable. Keys are random: no other store
// has it.
func (s *stores) corrupt(tb testing.TB, key string) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, prefix := range s.prefixes {
		layout, err := wire.NewLayout(prefix)
		if err != nil {
			tb.Fatal(err)
		}
		redistest.Do(tb, s.addr, "SET", layout.Record(key), "no frame", "XX")
	}
}

func TestConformance(t *testing.T) {
	t.Run("New", func(t *testing.T) {
		server := redistest.Start(t)
		stores := &stores{addr: server.Addr()}
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				options := stores.open(tb)
				return func() backend.Backend { return open(tb, option(server.Addr()), options) }
			},
			Corrupt: stores.corrupt,
			Disconnect: func(tb testing.TB) {
				redistest.Do(tb, server.Addr(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
				redistest.Do(tb, server.Addr(), "CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
			},
			Silence: func(tb testing.TB) func() {
				server.Pause(tb)
				return func() { server.Resume(tb) }
			},
		})
	})
	t.Run("NewFromClient", func(t *testing.T) {
		addr := redistest.Address(t)
		app := client(t, option(addr))
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				options := prefixed(tb)
				return func() backend.Backend { return fromClient(tb, app, options) }
			},
		})
	})
	t.Run("Miniredis", func(t *testing.T) {
		var mini *miniredis.Miniredis
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				mini = redistest.Mini(tb)
				client := rueidislib.ClientOption{
					InitAddress: []string{mini.Addr()}, DisableCache: true, AlwaysRESP2: true,
				}
				return func() backend.Backend { return open(tb, client, rueidis.Options{}) }
			},
			Advance: func(d time.Duration) { mini.FastForward(d) },
		})
	})
}
