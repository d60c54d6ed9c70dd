package sqlitestore

import (
	"testing"

	"github.com/reprise-go/reprise/conformance"
)

func BenchmarkConformance(b *testing.B) { conformance.RunBenchmarks(b, newHarness(newGate())) }
