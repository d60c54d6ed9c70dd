package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

type Receipt struct {
	ID     string
	Amount int64
}

func Example() {
	store := memory.New()
	defer store.Close()
	payments, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
	if err != nil {
		panic(err)
	}
	for range 3 {
		receipt, err := idempotency.Run(context.Background(), payments, "payment-123",
			func(ctx context.Context) (Receipt, error) {
				fmt.Println("charging")
				return Receipt{ID: "ch_1", Amount: 4200}, nil
			})
		fmt.Println(receipt, err)
	}
	// Output:
	// charging
	// {ch_1 4200} <nil>
	// {ch_1 4200} <nil>
	// {ch_1 4200} <nil>
}

func ExampleExec() {
	store := memory.New()
	defer store.Close()
	events, _ := idempotency.New(store, idempotency.Options{Namespace: "events"})
	for range 2 {
		err := idempotency.Exec(context.Background(), events, "event-42", func(ctx context.Context) error {
			fmt.Println("handling")
			return nil
		})
		fmt.Println(err)
	}
	// Output:
	// handling
	// <nil>
	// <nil>
}

var ErrGatewayBusy = errors.New("gateway busy")

func ExampleOperation_Do() {
	store := memory.New()
	defer store.Close()
	payments, _ := idempotency.New(store, idempotency.Options{})
	charge, err := idempotency.NewOperation(payments, idempotency.OperationOptions[Receipt]{
		Name:        "charge",
		IgnoreError: func(err error) bool { return errors.Is(err, ErrGatewayBusy) },
	})
	if err != nil {
		panic(err)
	}
	busy := true
	action := func(ctx context.Context) (Receipt, error) {
		if busy {
			return Receipt{}, ErrGatewayBusy
		}
		return Receipt{ID: "ch_1", Amount: 100}, nil
	}
	call := idempotency.Call{Key: "payment-123", Fingerprint: []byte("100 EUR")}

	_, err = charge.Do(context.Background(), call, action)
	fmt.Println(err)
	busy = false
	for range 2 {
		result, err := charge.Do(context.Background(), call, action)
		fmt.Println(result.Value, result.Replayed, result.Attempt, err)
	}
	call.Fingerprint = []byte("999 EUR")
	_, err = charge.Do(context.Background(), call, action)
	fmt.Println(errors.Is(err, idempotency.ErrFingerprintMismatch))
	// Output:
	// gateway busy
	// {ch_1 100} false 2 <nil>
	// {ch_1 100} true 2 <nil>
	// true
}

// A process dies in the middle of a charge. The next call doesn't charge again
// but asks the payment provider.
func ExampleOperationOptions_reconcile() {
	store := memory.New()
	defer store.Close()
	payments, _ := idempotency.New(store, idempotency.Options{Lease: 50 * time.Millisecond, Retention: time.Hour})
	charge, _ := idempotency.NewOperation(payments, idempotency.OperationOptions[Receipt]{
		Name: "charge",
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[Receipt], error) {
			fmt.Println("asking about", abandoned.Key, "attempt", abandoned.Attempt)
			return idempotency.Answer(Receipt{ID: "ch_1", Amount: 100}, nil), nil
		},
	})

	// The first caller's request is cut short after the card was charged.
	ctx, cancel := context.WithCancel(context.Background())
	_, err := charge.Run(ctx, "payment-123", func(ctx context.Context) (Receipt, error) {
		cancel()
		return Receipt{}, ctx.Err()
	})
	fmt.Println(err)

	result, err := charge.Do(context.Background(), idempotency.Call{Key: "payment-123"},
		func(ctx context.Context) (Receipt, error) { panic("charged twice") })
	fmt.Println(result.Value, result.Replayed, err)
	// Output:
	// context canceled
	// asking about payment-123 attempt 1
	// {ch_1 100} true <nil>
}

func ExampleExecutor_Lookup() {
	store := memory.New()
	defer store.Close()
	payments, _ := idempotency.New(store, idempotency.Options{})
	charge, _ := idempotency.NewOperation(payments, idempotency.OperationOptions[Receipt]{Name: "charge"})
	charge.Run(context.Background(), "payment-123", func(ctx context.Context) (Receipt, error) {
		return Receipt{}, errors.New("card declined")
	})
	info, err := payments.Lookup(context.Background(), "payment-123")
	fmt.Println(info.State, info.Operation, info.Attempt, info.Outcome, err)
	// Output:
	// completed charge 1 error <nil>
}
