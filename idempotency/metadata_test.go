package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

func TestMetadataStandsBesideTheAnswer(t *testing.T) {
	store := newStore(t)
	observer := &recorder{}
	x := newExecutor(t, store, idempotency.Options{Observer: observer})
	o := newOperation(t, x, idempotency.OperationOptions[int]{})
	input := map[string]string{"account": "acct_1", "channel": "web"}
	call := idempotency.Call{Key: "k", Metadata: input}
	result, err := o.Do(t.Context(), call, func(ctx context.Context) (int, error) {
		input["account"] = "changed meanwhile"
		for key, value := range map[string]string{"charge": "ch_1", "channel": "app"} {
			if err := idempotency.SetMetadata(ctx, key, value); err != nil {
				t.Error(err)
			}
		}
		return 1, nil
	})
	want := map[string]string{"account": "acct_1", "channel": "app", "charge": "ch_1"}
	if err != nil || !maps.Equal(result.Metadata, want) {
		t.Errorf("executed: %v, %v", result.Metadata, err)
	}
	for _, x := range []*idempotency.Executor{x, newExecutor(t, store, idempotency.Options{})} {
		o := newOperation(t, x, idempotency.OperationOptions[int]{})
		result, err := o.Do(t.Context(), idempotency.Call{Key: "k", Metadata: map[string]string{"other": "x"}}, mustNotRun[int](t))
		if err != nil || !result.Replayed || !maps.Equal(result.Metadata, want) {
			t.Errorf("replay: %v, %v", result.Metadata, err)
		}
		if info, err := x.Lookup(t.Context(), "k"); err != nil || !maps.Equal(info.Metadata, want) {
			t.Errorf("lookup: %v, %v", info.Metadata, err)
		}
	}
	for _, step := range observer.steps {
		if step.Kind == idempotency.StepRun && !maps.Equal(step.Metadata, want) {
			t.Errorf("observer: %v", step.Metadata)
		}
	}
	// Errors and what could not be kept have metadata too.
	o = newOperation(t, newExecutor(t, store, idempotency.Options{MaxPayload: 10}), idempotency.OperationOptions[int]{})
	o.Run(t.Context(), "e", func(ctx context.Context) (int, error) {
		idempotency.SetMetadata(ctx, "reason", "51")
		return 0, errors.New(strings.Repeat("long ", 10))
	})
	if info, _ := x.Lookup(t.Context(), "e"); info.Metadata["reason"] != "51" || info.Outcome != "not kept" {
		t.Errorf("lookup: %+v", info)
	}
}

func TestMetadataIsBounded(t *testing.T) {
	many := map[string]string{}
	for i := range 17 {
		many[fmt.Sprint(i)] = ""
	}
	large := map[string]string{}
	for i := range 9 {
		large[fmt.Sprint(i)] = strings.Repeat("x", 256)
	}
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{})
	for text, metadata := range map[string]map[string]string{
		"17 pairs":           many,
		"key of 0 bytes":     {"": "x"},
		"key of 65 bytes":    {strings.Repeat("k", 65): "x"},
		"value of 257 bytes": {"k": strings.Repeat("v", 257)},
		"want at most 2048":  large,
	} {
		_, err := o.Do(t.Context(), idempotency.Call{Key: "k", Metadata: metadata}, mustNotRun[int](t))
		wantRefused(t, err, "Call.Metadata", text)
	}
	var after context.Context
	o.Run(t.Context(), "k", func(ctx context.Context) (int, error) {
		after = ctx
		for range 2 {
			if err := idempotency.SetMetadata(ctx, "k", strings.Repeat("v", 256)); err != nil {
				t.Error(err)
			}
		}
		wantRefused(t, idempotency.SetMetadata(ctx, "", "v"), "0 bytes")
		wantRefused(t, idempotency.SetMetadata(ctx, "k", strings.Repeat("v", 257)), "257")
		return 1, nil
	})
	wantRefused(t, idempotency.SetMetadata(t.Context(), "k", "v"), "action")
	wantRefused(t, idempotency.SetMetadata(after, "late", "v"), "returned")
	if info, _ := x.Lookup(t.Context(), "k"); len(info.Metadata) != 1 {
		t.Errorf("%v", info.Metadata)
	}
}

func TestMaxAttempts(t *testing.T) {
	store := newStore(t)
	busy := errors.New("busy")
	options := idempotency.OperationOptions[int]{MaxAttempts: 3, IgnoreError: func(err error) bool { return err == busy }}
	o := newOperation(t, newExecutor(t, store, idempotency.Options{}), options)
	action := &answers[int]{err: busy}
	for range 3 {
		if _, err := o.Run(t.Context(), "k", action.run); err != busy {
			t.Error(err)
		}
	}
	for range 2 {
		other := newOperation(t, newExecutor(t, store, idempotency.Options{}), options)
		result, err := other.Do(t.Context(), idempotency.Call{Key: "k"}, mustNotRun[int](t))
		if !errors.Is(err, idempotency.ErrTooManyAttempts) || !result.Replayed || result.Attempt != 4 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	if action.runs != 3 {
		t.Errorf("%d runs", action.runs)
	}
	_, err := idempotency.NewOperation(newExecutor(t, store, idempotency.Options{}), idempotency.OperationOptions[int]{MaxAttempts: -1})
	wantRefused(t, err, "OperationOptions.MaxAttempts")
}

func TestCanonicalGivesTheFirstCallerTheDecodedCopy(t *testing.T) {
	type lossy struct {
		Any  any
		lost int
	}
	x := newExecutor(t, newStore(t), idempotency.Options{})
	action := &answers[lossy]{value: lossy{Any: 1, lost: 2}}
	want := lossy{Any: float64(1)}
	o := newOperation(t, x, idempotency.OperationOptions[lossy]{Canonical: true})
	for range 2 {
		if v, err := o.Run(t.Context(), "k", action.run); err != nil || v != want {
			t.Errorf("%+v, %v", v, err)
		}
	}
	plain := newOperation(t, x, idempotency.OperationOptions[lossy]{})
	if v, err := plain.Run(t.Context(), "k2", action.run); err != nil || v != action.value {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestLeaveAbandonedLetsThePolicyDecide(t *testing.T) {
	timeout := errors.New("gateway timed out")
	asked := 0
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{
		Name: "charge",
		RetentionFor: func(_ int, err error) idempotency.RetentionChoice {
			if err == timeout {
				return idempotency.LeaveAbandoned
			}
			return idempotency.Default
		},
		Reconcile: func(_ context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[int], error) {
			asked++
			if abandoned.Attempt != 1 || abandoned.Operation != "charge" || abandoned.Metadata["account"] != "acct_1" || abandoned.ClaimedAt.IsZero() {
				t.Errorf("%+v", abandoned)
			}
			return idempotency.Answer(7, nil), nil
		},
	})
	call := idempotency.Call{Key: "k", Metadata: map[string]string{"account": "acct_1"}}
	if _, err := o.Do(t.Context(), call, (&answers[int]{err: timeout}).run); err != timeout {
		t.Error(err)
	}
	for range 2 {
		if result, err := o.Do(t.Context(), call, mustNotRun[int](t)); err != nil || result.Value != 7 || !result.Replayed {
			t.Errorf("%+v, %v", result, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// An attempt that only asked, and found nothing out, doesn't hide when the effect
// may have happened, nor what the request was.
func TestAbandonedTellsSinceWhenNobodyKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Truncate(time.Millisecond)
		var asked []idempotency.Abandoned
		o := newOperation(t, newExecutor(t, newStore(t), idempotency.Options{}), idempotency.OperationOptions[int]{
			Reconcile: func(_ context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[int], error) {
				asked = append(asked, abandoned)
				return idempotency.Unknown[int](), nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		o.Do(ctx, idempotency.Call{Key: "k", Metadata: map[string]string{"account": "acct_1"}}, func(ctx context.Context) (int, error) {
			cancel()
			return 0, ctx.Err()
		})
		for range 3 {
			time.Sleep(time.Minute)
			if _, err := o.Run(t.Context(), "k", mustNotRun[int](t)); !errors.Is(err, idempotency.ErrAbandoned) {
				t.Error(err)
			}
		}
		for i, abandoned := range asked {
			claimed := began.Add(time.Duration(i) * time.Minute)
			if abandoned.Attempt != uint32(i+1) || !abandoned.Since.Equal(began) || !abandoned.ClaimedAt.Equal(claimed) || abandoned.Metadata["account"] != "acct_1" {
				t.Errorf("asked about %+v, want attempt %d, claimed at %v, since %v", abandoned, i+1, claimed, began)
			}
		}
		if len(asked) != 3 {
			t.Errorf("asked %d times", len(asked))
		}
	})
}
