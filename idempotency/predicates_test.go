package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
)

func TestPredicates(t *testing.T) {
	card := fmt.Errorf("charge: %w", &cardError{Code: "expired"})
	for name, test := range map[string]struct {
		predicate func(error) bool
		yes, no   []error
	}{
		"ErrorIs":         {idempotency.ErrorIs(io.EOF, errDeclined), []error{io.EOF, fmt.Errorf("x: %w", errDeclined)}, []error{nil, errLimit}},
		"ErrorIs nothing": {idempotency.ErrorIs(), nil, []error{nil, io.EOF}},
		"ErrorAs":         {idempotency.ErrorAs[*cardError](), []error{card, errors.Join(io.EOF, card)}, []error{nil, io.EOF}},
		"AnyOf":           {idempotency.AnyOf(idempotency.ErrorIs(io.EOF), idempotency.ErrorAs[*cardError]()), []error{io.EOF, card}, []error{nil, errLimit}},
		"AnyOf nothing":   {idempotency.AnyOf(), nil, []error{nil, io.EOF}},
		"IsTimeout":       {idempotency.IsTimeout, []error{context.DeadlineExceeded, fmt.Errorf("x: %w", os.ErrDeadlineExceeded)}, []error{nil, io.EOF, context.Canceled}},
		"IsPanic":         {idempotency.IsPanic, []error{&idempotency.PanicError{Value: 1}}, []error{nil, io.EOF}},
	} {
		for _, err := range test.yes {
			if !test.predicate(err) {
				t.Errorf("%s is false for %v", name, err)
			}
		}
		for _, err := range test.no {
			if test.predicate(err) {
				t.Errorf("%s is true for %v", name, err)
			}
		}
	}
}

// The predicates see the action's error as it is, a panic as a *PanicError.
func TestIgnoredPanicRunsAgain(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{IgnoreError: idempotency.IsPanic})
	func() {
		defer func() { recover() }()
		o.Run(t.Context(), "k", func(context.Context) (int, error) { panic("x") })
	}()
	if v, err := o.Run(t.Context(), "k", (&answers[int]{value: 3}).run); v != 3 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}
