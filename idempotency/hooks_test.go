package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
)

func TestHooksChangeWhatTheCallerGetsNotWhatIsRecorded(t *testing.T) {
	var calls []string
	note := func(hook, key string) { calls = append(calls, hook+" "+key) }
	options := idempotency.OperationOptions[string]{
		OnExecuted: func(_ context.Context, key, value string) (string, error) {
			note("executed", key)
			return "executed " + value, nil
		},
		OnFailed: func(_ context.Context, key string, err error) error {
			note("failed", key)
			return fmt.Errorf("failed: %w", err)
		},
		OnReplayed: func(_ context.Context, key, value string) (string, error) {
			note("replayed", key)
			return "replayed " + value, nil
		},
		OnErrorReplayed: func(_ context.Context, key string, err error) error {
			note("error replayed", key)
			return fmt.Errorf("error replayed: %w", err)
		},
	}
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, options)
	plain := newOperation(t, x, idempotency.OperationOptions[string]{})

	value := (&answers[string]{value: "v"}).run
	failure := (&answers[string]{err: errDeclined}).run
	if v, err := o.Run(t.Context(), "k", value); v != "executed v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if v, err := o.Run(t.Context(), "k", value); v != "replayed v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if v, err := plain.Run(t.Context(), "k", value); v != "v" || err != nil {
		t.Errorf("recorded: %q, %v", v, err)
	}
	if _, err := o.Run(t.Context(), "e", failure); !errors.Is(err, errDeclined) || err.Error() != "failed: card declined" {
		t.Errorf("%v", err)
	}
	var replayed *idempotency.ReplayedError
	if _, err := o.Run(t.Context(), "e", failure); !errors.As(err, &replayed) || err.Error() != "error replayed: card declined" {
		t.Errorf("%v", err)
	}
	if _, err := plain.Run(t.Context(), "e", failure); err.Error() != "card declined" {
		t.Errorf("recorded: %v", err)
	}
	if want := []string{"executed k", "replayed k", "failed e", "error replayed e"}; !slices.Equal(calls, want) {
		t.Errorf("hooks: %q, want %q", calls, want)
	}
	// An error of the library is no outcome.
	calls = nil
	if _, err := o.Run(t.Context(), "", value); err == nil || calls != nil {
		t.Errorf("%v, hooks: %q", err, calls)
	}
}

func TestHookErrorsReachTheCaller(t *testing.T) {
	hook := errors.New("hook")
	x := newExecutor(t, newStore(t), idempotency.Options{})
	refuse := func(context.Context, string, int) (int, error) { return 0, hook }
	o := newOperation(t, x, idempotency.OperationOptions[int]{OnExecuted: refuse, OnReplayed: refuse})
	action := &answers[int]{value: 1}
	for range 2 {
		if _, err := o.Run(t.Context(), "k", action.run); err != hook {
			t.Errorf("%v", err)
		}
	}
	if action.runs != 1 {
		t.Errorf("a hook's error let the action run %d times", action.runs)
	}
}

func TestHookMustNotSwallowAnError(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	swallow := func(context.Context, string, error) error { return nil }
	o := newOperation(t, x, idempotency.OperationOptions[int]{OnFailed: swallow, OnErrorReplayed: swallow})
	for _, hook := range []string{"OnFailed", "OnErrorReplayed"} {
		_, err := o.Run(t.Context(), "k", (&answers[int]{err: errDeclined}).run)
		wantRefused(t, err, hook, errDeclined.Error())
		if hook == "OnFailed" && !errors.Is(err, errDeclined) {
			t.Errorf("the action's error is lost: %v", err)
		}
		if !strings.Contains(err.Error(), hook) {
			t.Errorf("%v", err)
		}
	}
}
