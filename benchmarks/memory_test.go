package benchmarks

import (
	"crypto/sha256"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
	"github.com/reprise-go/reprise/tracing"
)

// records are completed records of 128 bytes as an executor writes them: plain,
// and full, with a fingerprint of 32 bytes and a span context.
var records = []struct {
	name string
	full bool
	held float64 // bytes that it may cost the server at most
}{
	{"plain", false, 345},
	// The goal is 365, and is not met: it is held where it is. The value has 220
	// bytes, which fill an allocation of 224; the next smaller one, of 192, has no
	// room for what it must hold. Besides there are 128 for the key, the object and
	// two table entries, as this server's allocator rounds them, and 16 of the tables.
	{"full", true, 368},
}

func TestMemoryPerRecord(t *testing.T) {
	for _, record := range records {
		t.Run(record.name, func(t *testing.T) {
			// A little less than a power of two: the server's table is full.
			perRecord := memoryPerRecord(t, record.full, 16_000)
			t.Logf("%.0f bytes per record", perRecord)
			if perRecord > record.held {
				t.Errorf("%.0f bytes per record, want at most %v", perRecord, record.held)
			}
		})
	}
}

// BenchmarkRecord reports the same.
func BenchmarkRecord(b *testing.B) {
	for _, record := range records {
		b.Run(record.name, func(b *testing.B) {
			if measure.PlanOf().Short() {
				memoryPerRecord(b, record.full, 100)
				return
			}
			b.ReportMetric(memoryPerRecord(b, record.full, 16_000), "B/record")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// memoryPerRecord is what each of n records costs the server, its tables
// included.
func memoryPerRecord(tb testing.TB, full bool, n int) float64 {
	tb.Helper()
	var options idempotency.Options
	var fingerprint []byte
	if full {
		observer, err := tracing.NewObserver(tracing.WithTracerProvider(sdktrace.NewTracerProvider()))
		if err != nil {
			tb.Fatal(err)
		}
		sum := sha256.Sum256([]byte("request"))
		options.Observer, fingerprint = observer, sum[:]
	}
	server := redistest.Start(tb)
	client, _ := clients.Named("rueidis")
	store := client.Open(tb, server.Addr(), nil)
	clients.Warm(tb, store)
	operation, err := idempotency.NewOperation(newExecutor(tb, store, options), idempotency.OperationOptions[[]byte]{})
	if err != nil {
		tb.Fatal(err)
	}
	before := infoField(tb, server, "memory", "used_memory")
	for range n {
		call := idempotency.Call{Key: nextKey('c'), Fingerprint: fingerprint}
		if _, err := operation.Do(tb.Context(), call, answer(payload128)); err != nil {
			tb.Fatal(err)
		}
	}
	return (infoField(tb, server, "memory", "used_memory") - before) / float64(n)
}
