package rueidis_test

import (
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkConformance has the figures that every backend can be compared by.
func BenchmarkConformance(b *testing.B) {
	addr := redistest.Start(b).Addr()
	conformance.RunBenchmarks(b, conformance.Harness{Open: func(tb testing.TB) func() backend.Backend {
		options := prefixed(tb)
		return func() backend.Backend { return open(tb, option(addr), options) }
	}})
}
