package linearizability_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/linearizability"
)

func inMemory(tb testing.TB) func() backend.Backend {
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return func() backend.Backend { return store }
}

func TestMemoryOnAVirtualClock(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := linearizability.Check(t, conformance.Harness{Open: inMemory, Advance: time.Sleep}, linearizability.Options{
				Seed: seed + 1, Keys: 6,
			})
			if seed < 5 {
				t.Log(r)
			}
		})
	}
}
