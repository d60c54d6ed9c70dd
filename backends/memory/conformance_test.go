package memory_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
)

func open(tb testing.TB) (connect func() backend.Backend) {
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return func() backend.Backend { return store }
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{Open: open})
}

// Hashes of 64 bits never meet in a test, unless it makes them.
func TestConformanceWithEqualHashes(t *testing.T) {
	conformance.Run(t, conformance.Harness{Open: func(tb testing.TB) (connect func() backend.Backend) {
		store := memory.NewColliding()
		tb.Cleanup(func() { store.Close() })
		return func() backend.Backend { return store }
	}})
}

// In a bubble, leases end when the test lets them.
func TestConformanceOnAVirtualClock(t *testing.T) {
	for _, rule := range conformance.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule.Run(t, conformance.Harness{Open: open, Advance: time.Sleep})
			})
		})
	}
}
