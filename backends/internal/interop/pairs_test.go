package interop

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// pairs runs the test for every ordered pair of different clients.
func pairs(t *testing.T, test func(t *testing.T, first, second connect)) {
	for a, first := range clients {
		for b, second := range clients {
			if a != b {
				t.Run(a+" then "+b, func(t *testing.T) {
					t.Parallel()
					test(t, first, second)
				})
			}
		}
	}
}

// The suite connects every store more than once. Here the connections take turns
// between two clients, so that each rule holds across them.
func TestPairsConform(t *testing.T) {
	pairs(t, func(t *testing.T, first, second connect) {
		addr := redistest.Address(t)
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				prefix := redistest.Prefix(tb)
				turn := []connect{second, first}
				return func() backend.Backend {
					turn[0], turn[1] = turn[1], turn[0]
					return turn[0](tb, addr, prefix)
				}
			},
		})
	})
}

func TestPairsShareAnswers(t *testing.T) {
	pairs(t, func(t *testing.T, first, second connect) {
		addr, prefix := redistest.Address(t), redistest.Prefix(t)
		options := idempotency.Options{Namespace: "ns", Lease: 20 * time.Second}
		a := newExecutor(t, first(t, addr, prefix), options)
		b := newExecutor(t, second(t, addr, prefix), options)

		running, release := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			v, err := idempotency.Run(t.Context(), a, "k", func(context.Context) (string, error) {
				close(running)
				<-release
				return "answer", nil
			})
			if v != "answer" || err != nil {
				t.Errorf("runs: %q, %v", v, err)
			}
		})
		<-running
		o, err := idempotency.NewOperation(b, idempotency.OperationOptions[string]{})
		if err != nil {
			t.Fatal(err)
		}
		never := func(context.Context) (string, error) { t.Error("ran twice"); return "", nil }
		_, err = o.Do(t.Context(), idempotency.Call{Key: "k", NoWait: true}, never)
		var busy *idempotency.InProgressError
		if !errors.As(err, &busy) || busy.LeaseLeft <= 0 || busy.LeaseLeft > options.Lease {
			t.Errorf("without waiting: %v", err)
		}
		// The lease is long, so only the push can wake these in time.
		for range 10 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				result, err := o.Do(ctx, idempotency.Call{Key: "k"}, never)
				if result.Value != "answer" || !result.Replayed || err != nil {
					t.Errorf("waits: %+v, %v", result, err)
				}
			})
		}
		time.AfterFunc(20*time.Millisecond, func() { close(release) })
		wg.Wait()
		for range 4 { // the cache of a client that has one comes in with the third
			result, err := o.Do(t.Context(), idempotency.Call{Key: "k"}, never)
			if result.Value != "answer" || !result.Replayed || result.Attempt != 1 || err != nil {
				t.Errorf("replays: %+v, %v", result, err)
			}
		}
		// Forgotten by one, unknown to the other's cache.
		if err := a.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			result, err := o.Do(t.Context(), idempotency.Call{Key: "k"}, func(context.Context) (string, error) { return "new", nil })
			return err == nil && result.Value == "new"
		})
	})
}
