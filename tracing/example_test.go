package tracing_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

func Example() {
	spans := tracetest.NewInMemoryExporter() // an application exports to its collector
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	observer, err := tracing.NewObserver(tracing.WithTracerProvider(provider))
	if err != nil {
		panic(err)
	}
	store := memory.New()
	defer store.Close()
	payments, err := idempotency.New(store, idempotency.Options{Observer: observer})
	if err != nil {
		panic(err)
	}
	charge, err := idempotency.NewOperation(payments, idempotency.OperationOptions[string]{Name: "charge"})
	if err != nil {
		panic(err)
	}
	for range 2 {
		charge.Run(context.Background(), "payment-123", func(ctx context.Context) (string, error) { return "ch_1", nil })
	}
	for _, span := range spans.GetSpans() {
		fmt.Println(span.Name, "links:", len(span.Links))
	}
	// Output:
	// idempotency.claim links: 0
	// idempotency.action links: 0
	// idempotency.commit links: 0
	// idempotency.run charge links: 0
	// idempotency.claim links: 0
	// idempotency.run charge links: 1
}
