package memory_test

import (
	"testing"

	"github.com/reprise-go/reprise/conformance"
)

// BenchmarkConformance has the figures that every backend can be compared by.
func BenchmarkConformance(b *testing.B) {
	conformance.RunBenchmarks(b, conformance.Harness{Open: open})
}
