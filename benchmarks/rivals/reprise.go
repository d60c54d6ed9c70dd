package rivals

import (
	"context"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

// Reprise is ours on each client and in memory, and its consumer, which does
// watermill's job. Usage: this module's README, with the codec for bytes, because
// nobody else encodes anything here either.
var Reprise = []Rival{
	reprise("goredis"), reprise("rueidis"), reprise("rueidis-nocache"), reprise("redigo"), repriseMemory, repriseConsumer,
}

func reprise(name string) Rival {
	return Rival{
		Name: "reprise-" + name, Client: name, Remembers: true, Keeps: true, Errors: true, Waits: true, Across: true,
		Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
			x := newExecutor(tb, openStore(tb, name, addr, dial), idempotency.Options{Retention: keptFor})
			return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
				return WithReprise(ctx, x, key, action)
			}
		},
	}
}

// openStore opens a backend on a client of package clients, connected and with
// its scripts loaded, and, where time is measured, in the steady state to which
// rueidis' comes after some hundred answers.
func openStore(tb testing.TB, name, addr string, dial clients.Dial) backend.Backend {
	tb.Helper()
	client, known := clients.Named(name)
	if !known {
		tb.Fatalf("no client %q", name)
	}
	store := client.Open(tb, addr, dial)
	clients.Warm(tb, store)
	if !measure.PlanOf().Smoke() && dial == nil {
		clients.Trust(tb, store)
	}
	return store
}

func newExecutor(tb testing.TB, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	tb.Helper()
	options.Namespace, options.Codec = "payments", codec.Raw
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func openMemory(tb testing.TB) *idempotency.Executor {
	tb.Helper()
	store := memory.New()
	tb.Cleanup(func() { _ = store.Close() })
	return newExecutor(tb, store, idempotency.Options{Retention: inProcess, Lease: inProcess})
}

var repriseMemory = Rival{
	Name: "reprise-memory", Remembers: true, Keeps: true, Errors: true, Waits: true,
	Open: func(tb testing.TB, _ string, _ clients.Dial) Do {
		x := openMemory(tb)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			return WithReprise(ctx, x, key, action)
		}
	},
}

// repriseConsumer handles watermill's messages, by their UUID. It asks for one
// that is being handled, or has failed, again later: it has no answer for who
// delivers it.
var repriseConsumer = Rival{
	Name: "reprise-consumer", Remembers: true,
	Open: func(tb testing.TB, _ string, _ clients.Dial) Do {
		deliveries, err := consumer.New(openMemory(tb), consumer.Options[*message.Message]{
			Name: "deliveries",
			Key:  func(m *message.Message) string { return m.UUID },
			Handle: func(ctx context.Context, m *message.Message) error {
				_, err := actionOf(m)(ctx)
				return err
			},
		})
		if err != nil {
			tb.Fatal(err)
		}
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			verdict := deliveries.Handle(ctx, newMessage(ctx, key, action))
			if verdict.Action != consumer.Ack {
				return nil, fmt.Errorf("not acknowledged (%v): %w", verdict.Reason, verdict.Err)
			}
			return nil, nil
		}
	},
}
