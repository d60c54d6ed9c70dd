package goredis_test

import (
	"testing"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkConformance has the figures that every backend can be compared by.
func BenchmarkConformance(b *testing.B) {
	addr := redistest.Start(b).Addr()
	conformance.RunBenchmarks(b, conformance.Harness{Open: func(tb testing.TB) func() backend.Backend {
		prefix := redistest.Prefix(tb)
		return func() backend.Backend { return open(tb, redislib.NewClient(quiet(addr)), prefix) }
	}})
}
