package idempotency_test

import (
	"context"
	"errors"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

// newStore is a memory store that is closed with the test.
func newStore(tb testing.TB) *memory.Backend {
	tb.Helper()
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return store
}

func newExecutor(tb testing.TB, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	tb.Helper()
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func newOperation[T any](tb testing.TB, x *idempotency.Executor, options idempotency.OperationOptions[T]) *idempotency.Operation[T] {
	tb.Helper()
	o, err := idempotency.NewOperation(x, options)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// answers is an action that counts its runs and returns always the same.
type answers[T any] struct {
	runs  int
	value T
	err   error
}

func (a *answers[T]) run(context.Context) (T, error) {
	a.runs++
	return a.value, a.err
}

// mustNotRun is an action that fails the test.
func mustNotRun[T any](tb testing.TB) func(context.Context) (T, error) {
	return func(context.Context) (T, error) {
		tb.Error("the action ran")
		var zero T
		return zero, errors.New("ran")
	}
}
