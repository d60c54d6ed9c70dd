package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

// Order is what a message says.
type Order struct {
	ID     string // given by the producer: the same when it adds the order again
	Amount string
	Plan   plan // what is to go wrong; a real one has none
}

// orderOf reads an entry of the stream. What it can't read stays empty, and the
// consumer refuses it.
func orderOf(values map[string]any) Order {
	text := func(name string) string { s, _ := values[name].(string); return s }
	return Order{ID: text("id"), Amount: text("amount"), Plan: plan(text("plan"))}
}

// errBadAmount is an outcome: another try would end the same.
var errBadAmount = errors.New("the amount is no number")

// errBusy comes before anything has happened.
var errBusy = errors.New("the ledger is busy")

// newOrders makes the consumer. Its key is the order's id, not the entry's in the
// stream: that one differs when a producer, whose first XADD got no answer, adds
// the order again.
func newOrders(store backend.Backend, namespace string, ledger *ledger, chaos func(ctx context.Context, order Order, booked bool)) (*consumer.Consumer[Order], *idempotency.Executor, error) {
	executor, err := idempotency.New(store, idempotency.Options{
		Namespace: namespace,
		// Short, so that the example is; 30 s is right where a worker may stall.
		Lease: 500 * time.Millisecond,
	})
	if err != nil {
		return nil, nil, err
	}
	orders, err := consumer.New(executor, consumer.Options[Order]{
		Name:        "order",
		Key:         func(o Order) string { return o.ID },
		Fingerprint: func(o Order) []byte { return []byte(o.Amount) },
		Handle: func(ctx context.Context, o Order) error {
			chaos(ctx, o, false)
			if o.Plan == failsOnce && firstAttempt(ctx) {
				return errBusy
			}
			if o.Plan == panics {
				panic("a bug that only this order meets")
			}
			if _, err := strconv.Atoi(o.Amount); err != nil {
				return errBadAmount
			}
			if err := ledger.book(ctx, o.ID); err != nil {
				return err // nobody knows whether it is booked: Reconcile asks
			}
			chaos(ctx, o, true)
			return nil
		},
		Final:    idempotency.ErrorIs(errBadAmount),
		Harmless: idempotency.ErrorIs(errBusy),
		// The worker that had the order died, or its handler failed. The ledger knows
		// whether the order is booked.
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[struct{}], error) {
			booked, err := ledger.has(ctx, abandoned.Key)
			switch {
			case err != nil:
				return idempotency.Unknown[struct{}](), err
			case booked:
				return idempotency.Answer(struct{}{}, nil), nil
			}
			return idempotency.RunAgain[struct{}](), nil
		},
		// The stream's own count of deliveries would not do: it also counts those that
		// found the order in progress elsewhere.
		MaxAttempts: 3,
	})
	return orders, executor, err
}

func firstAttempt(ctx context.Context) bool {
	execution, _ := idempotency.ExecutionOf(ctx)
	return execution.Attempt == 1
}
