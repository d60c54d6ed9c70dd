package memory_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

// The verbs by hand; programs leave them to package idempotency.
func Example() {
	ctx := context.Background()
	store := memory.New()
	defer store.Close()

	// One attempt takes the key and records its outcome.
	mine := backend.Token{1}
	record, err := store.Claim(ctx, "payment-123", backend.ClaimRequest{
		Token: mine, Lease: 30 * time.Second, Keep: time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(record.State, "by me:", record.Token == mine, "attempt", record.Attempt)

	err = store.Commit(ctx, "payment-123", backend.CommitRequest{
		Token: mine, Ending: backend.Complete, Outcome: []byte("receipt 7"), Retention: 24 * time.Hour,
		LeaseHeld: true, Attempt: record.Attempt, Fence: record.Fence,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Every later claim is answered with that outcome.
	record, err = store.Claim(ctx, "payment-123", backend.ClaimRequest{
		Token: backend.Token{2}, Lease: 30 * time.Second, Keep: time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", record.State, record.Outcome)
	// Output:
	// claimed by me: true attempt 1
	// completed: receipt 7
}

// Who doesn't get the key waits for who has it.
func ExampleBackend_Wait() {
	ctx := context.Background()
	store := memory.New()
	defer store.Close()

	holder := backend.Token{1}
	if _, err := store.Claim(ctx, "order-9", backend.ClaimRequest{
		Token: holder, Lease: time.Minute, Keep: time.Hour,
	}); err != nil {
		fmt.Println(err)
		return
	}
	go store.Commit(ctx, "order-9", backend.CommitRequest{
		Token: holder, Ending: backend.Complete, Outcome: []byte("shipped"), Retention: time.Hour,
	})

	record, err := store.Wait(ctx, "order-9", holder)
	fmt.Printf("%s: %s, %v\n", record.State, record.Outcome, err)
	// Output: completed: shipped, <nil>
}

func ExampleBackend_Close() {
	store := memory.New()
	store.Close()
	_, err := store.Fetch(context.Background(), "order-9")
	fmt.Println(errors.Is(err, backend.ErrClosed))
	// Output: true
}
