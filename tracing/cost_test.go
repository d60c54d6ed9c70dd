package tracing_test

import (
	"context"
	"fmt"
	"testing"

	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// newCostly is an executor on a store, observed by way of the no-op providers or
// not at all.
func newCostly(tb testing.TB, observed bool) *idempotency.Executor {
	tb.Helper()
	var store backend.Backend = newStore(tb)
	options := idempotency.Options{Codec: codec.Raw}
	if observed {
		noop := []tracing.Option{
			tracing.WithTracerProvider(nooptrace.NewTracerProvider()), tracing.WithMeterProvider(noopmetric.NewMeterProvider()),
		}
		observer, err := tracing.NewObserver(noop...)
		if err != nil {
			tb.Fatal(err)
		}
		if store, err = tracing.Wrap(store, noop...); err != nil {
			tb.Fatal(err)
		}
		options.Observer = observer
	}
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func TestCostWithTheNoOpProvider(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations can't be counted under the race detector")
	}
	caller := trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	for _, c := range []struct {
		name string
		ctx  context.Context
		key  func(n int) string
	}{
		{"execution", context.Background(), func(n int) string { return fmt.Sprint(n) }},
		{"execution in a trace", caller, func(n int) string { return fmt.Sprint(n) }},
		{"replay", context.Background(), func(int) string { return "k" }},
		{"replay in a trace", caller, func(int) string { return "k" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(observed bool) float64 {
				x := newCostly(t, observed)
				n := 0
				return testing.AllocsPerRun(200, func() {
					n++
					idempotency.Run(c.ctx, x, c.key(n), ok)
				})
			}
			bare, observed := run(false), run(true)
			t.Logf("%v allocations without, %v with", bare, observed)
			if observed-bare > 10 {
				t.Errorf("observer and wrapped store cost %v allocations a call, want at most 10", observed-bare)
			}
		})
	}
}

func BenchmarkNoOpProvider(b *testing.B) {
	for _, observed := range []bool{false, true} {
		b.Run(fmt.Sprintf("observed=%v", observed), func(b *testing.B) {
			x := newCostly(b, observed)
			idempotency.Run(b.Context(), x, "k", ok)
			b.ReportAllocs()
			for b.Loop() {
				idempotency.Run(b.Context(), x, "k", ok)
			}
		})
		b.Run(fmt.Sprintf("execution/observed=%v", observed), func(b *testing.B) {
			x := newCostly(b, observed)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				idempotency.Run(b.Context(), x, fmt.Sprint(n), ok)
			}
		})
	}
}
