package readme

import (
	"context"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// Traced makes an executor whose calls are visible in OpenTelemetry.
func Traced(ctx context.Context, store backend.Backend) error {
	observer, err := tracing.NewObserver() // the global OpenTelemetry providers
	if err != nil {
		return err
	}
	traced, err := tracing.Wrap(store) // spans and durations of the store's verbs
	if err != nil {
		return err
	}
	payments, err := idempotency.New(traced, idempotency.Options{Observer: observer})
	if err != nil {
		return err
	}
	return idempotency.Exec(ctx, payments, "event-42", func(context.Context) error { return nil })
}
