package logging_test

import (
	"context"
	"log/slog"
	"os"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing/logging"
)

func Example() {
	// Without the time, so that the output is always the same.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "fence" {
				return slog.Attr{}
			}
			return a
		},
	}))
	observer, err := logging.NewObserver(logger, logging.Options{})
	if err != nil {
		panic(err)
	}
	store := memory.New()
	defer store.Close()
	payments, err := idempotency.New(store, idempotency.Options{Observer: observer})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	idempotency.Exec(ctx, payments, "payment-123", func(ctx context.Context) error {
		cancel() // the client has gone, in the middle of the charge
		return ctx.Err()
	})
	idempotency.Exec(context.Background(), payments, "payment-123", func(ctx context.Context) error { return nil })
	// Output:
	// level=WARN msg="idempotency: abandoned" attempt=1
	// level=WARN msg="idempotency: took over an abandoned key" attempt=2
}
