package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

type cardError struct {
	Code  string
	cause error
}

func (e *cardError) Error() string { return "card: " + e.Code }
func (e *cardError) Unwrap() error { return e.cause }

var (
	errLimit   = errors.New("limit reached")
	errUnknown = errors.New("not registered")
)

func billingErrors(t *testing.T) *codec.Errors {
	t.Helper()
	registry, err := codec.NewErrors(codec.ErrorSet{
		Sentinels: map[string]error{"billing.declined": errDeclined, "billing.limit": errLimit},
		Types: []codec.ErrorType{codec.ErrorTypeOf("billing.card", codec.ErrorTypeOptions[*cardError]{
			Restore: func(err *cardError, causes []error) (*cardError, error) {
				err.cause = errors.Join(causes...)
				if len(causes) == 1 {
					err.cause = causes[0]
				}
				return err, nil
			},
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return registry
}

// replayError records err in one process and returns what another one, with its
// own registry, gets for it.
func replayError(t *testing.T, err error, writer, reader *codec.Errors, options idempotency.Options) error {
	t.Helper()
	store := newStore(t)
	options.Errors = writer
	first := newExecutor(t, store, options)
	if _, got := idempotency.Run(t.Context(), first, "k", (&answers[int]{err: err}).run); got != err {
		t.Fatalf("the call whose action ran got %v", got)
	}
	options.Errors = reader
	_, replayed := idempotency.Run(t.Context(), newExecutor(t, store, options), "k", mustNotRun[int](t))
	return replayed
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	registry := billingErrors(t)
	original := fmt.Errorf("charge ch_1: %w", errors.Join(
		fmt.Errorf("first: %w", &cardError{Code: "expired", cause: errDeclined}),
		fmt.Errorf("second: %w", io.ErrUnexpectedEOF),
		context.DeadlineExceeded,
		errUnknown,
	))
	for name, options := range map[string]idempotency.Options{
		"plain":       {},
		"transformed": {Transforms: []codec.Transform{&xor{key: 9}}},
	} {
		t.Run(name, func(t *testing.T) {
			err := replayError(t, original, registry, billingErrors(t), options)
			if err.Error() != original.Error() {
				t.Errorf("text %q, want %q", err, original)
			}
			for _, sentinel := range []error{errDeclined, io.ErrUnexpectedEOF, context.DeadlineExceeded} {
				if !errors.Is(err, sentinel) {
					t.Errorf("it isn't %v any more", sentinel)
				}
			}
			if errors.Is(err, errLimit) || errors.Is(err, errUnknown) {
				t.Error("it is what it never was, or was not registered")
			}
			card, ok := errors.AsType[*cardError](err)
			if !ok || card.Code != "expired" || !errors.Is(card, errDeclined) {
				t.Errorf("the type is lost: %+v", card)
			}
			replayed, ok := errors.AsType[*idempotency.ReplayedError](err)
			if !ok || replayed.Attempt != 1 || replayed.TypeName != "*fmt.wrapError" || time.Since(replayed.At).Abs() > time.Minute {
				t.Errorf("*ReplayedError: %+v", replayed)
			}
		})
	}
}

func TestErrorsOfANewerFleetKeepTheirText(t *testing.T) {
	original := fmt.Errorf("charge: %w", &cardError{Code: "expired", cause: errDeclined})
	err := replayError(t, original, billingErrors(t), nil, idempotency.Options{})
	if err.Error() != original.Error() || errors.Is(err, errDeclined) {
		t.Errorf("%v", err)
	}
	found := false
	for e := err; e != nil; e = errors.Unwrap(e) {
		if r, ok := e.(codec.Restored); ok && r.OriginalType() == "*idempotency_test.cardError" {
			found = true
		}
	}
	if !found {
		t.Error("the type's name is lost")
	}
}

func TestErrorsOfTheOperationTakePrecedence(t *testing.T) {
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{Errors: billingErrors(t)})
	o.Run(t.Context(), "k", (&answers[int]{err: errLimit}).run)
	if _, err := o.Run(t.Context(), "k", mustNotRun[int](t)); !errors.Is(err, errLimit) {
		t.Errorf("%v", err)
	}
}

func TestPanicsReplayWithTheirError(t *testing.T) {
	registry := billingErrors(t)
	for value, check := range map[any]func(*idempotency.PanicError) bool{
		"boom":                           func(p *idempotency.PanicError) bool { return p.Value == "boom" && p.Error() == "panic: boom" },
		fmt.Errorf("x: %w", errDeclined): func(p *idempotency.PanicError) bool { return errors.Is(p, errDeclined) },
	} {
		store := newStore(t)
		x := newExecutor(t, store, idempotency.Options{Errors: registry})
		func() {
			defer func() {
				if got := recover(); got != value {
					t.Errorf("panicked with %v, want %v", got, value)
				}
			}()
			idempotency.Run(t.Context(), x, "k", func(context.Context) (int, error) { panic(value) })
		}()
		_, err := idempotency.Run(t.Context(), newExecutor(t, store, idempotency.Options{Errors: registry}), "k", mustNotRun[int](t))
		p, ok := errors.AsType[*idempotency.PanicError](err)
		if !ok || !check(p) || len(p.Stack) != 0 {
			t.Errorf("%v: replayed as %v, %+v", value, err, p)
		}
		if _, ok := errors.AsType[*idempotency.ReplayedError](err); !ok {
			t.Errorf("no *ReplayedError: %T", err)
		}
	}
}

// An error that is too large to keep is a marker, never a second run.
func TestErrorTooLargeToKeep(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{MaxPayload: 100})
	long := errors.New(string(make([]byte, 101)))
	_, err := idempotency.Run(t.Context(), x, "k", (&answers[int]{err: long}).run)
	if !errors.Is(err, long) || !errors.Is(err, idempotency.ErrNotKept) {
		t.Errorf("%v", err)
	}
	if _, ok := errors.AsType[*idempotency.CommitError](err); !ok {
		t.Errorf("%T", err)
	}
	if _, err := idempotency.Run(t.Context(), x, "k", mustNotRun[int](t)); !errors.Is(err, idempotency.ErrNotKept) {
		t.Errorf("%v", err)
	}
	if info, _ := x.Lookup(t.Context(), "k"); info.State != backend.Completed || info.Outcome != "not kept" {
		t.Errorf("%+v", info)
	}
}

// An action that calls another operation may fail with the library's own errors.
func TestTheLibrarysOwnErrorsKeepTheirIdentity(t *testing.T) {
	nested := &idempotency.Error{Operation: "inner", Step: "claim", Err: &idempotency.InProgressError{LeaseLeft: time.Second}}
	err := replayError(t, errors.Join(nested, idempotency.ErrWaitTimeout), nil, nil, idempotency.Options{})
	busy, ok := errors.AsType[*idempotency.InProgressError](err)
	if !errors.Is(err, idempotency.ErrInProgress) || !errors.Is(err, idempotency.ErrWaitTimeout) || !ok || busy.LeaseLeft != time.Second {
		t.Errorf("%v, %+v", err, busy)
	}
}
