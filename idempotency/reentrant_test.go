package idempotency_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// The same key inside its own action is an error at once, not a deadlock: at any
// depth, across goroutines and operations, and in the bargain for a nested call
// that would only join.
func TestReentrant(t *testing.T) {
	type nested = func(ctx context.Context, call func(ctx context.Context, key string, action func(context.Context) (string, error)) (string, error)) (string, error)
	inner := func(context.Context) (string, error) { return "inner", nil }
	for name, run := range map[string]nested{
		"directly": func(ctx context.Context, call func(context.Context, string, func(context.Context) (string, error)) (string, error)) (string, error) {
			return call(ctx, "k", inner)
		},
		"behind another key": func(ctx context.Context, call func(context.Context, string, func(context.Context) (string, error)) (string, error)) (string, error) {
			return call(ctx, "l", func(ctx context.Context) (string, error) { return call(ctx, "k", inner) })
		},
		"in a goroutine": func(ctx context.Context, call func(context.Context, string, func(context.Context) (string, error)) (string, error)) (value string, err error) {
			ctx, cancel := context.WithTimeout(context.WithValue(ctx, t, 1), time.Hour)
			defer cancel()
			done := make(chan struct{})
			go func() { defer close(done); value, err = call(ctx, "k", inner) }()
			<-done
			return value, err
		},
		"without cancel": func(ctx context.Context, call func(context.Context, string, func(context.Context) (string, error)) (string, error)) (string, error) {
			return call(context.WithoutCancel(ctx), "k", inner)
		},
	} {
		for _, detach := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					p := r.process(idempotency.Options{})
					charge := operation(t, p, idempotency.OperationOptions[string]{Detach: detach})
					other := operation(t, p, idempotency.OperationOptions[string]{})
					var err error
					a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
						var value string
						value, err = run(ctx, other.Run)
						return value + "outer", nil
					})
					wantAnswer(t, a, "outer", false)
					wantError(t, answer[string]{err: err}, idempotency.ErrReentrant)
					if a.took != 0 {
						t.Errorf("after %v", a.took)
					}
					r.idle(p)
				})
			})
		}
	}
}

// What isn't nested is no reentrance: the ctx of an action that has ended, and
// another call that happens at the same time.
func TestNotReentrant(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		var kept context.Context
		leader := start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			kept = ctx
			return takes(time.Second, "paid", &runs)(ctx)
		})
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), takes(0, "again", &runs))
		wantAnswer(t, <-leader, "paid", false)
		wantAnswer(t, <-follower, "paid", true)
		kept = context.WithoutCancel(kept)
		wantAnswer(t, <-start(kept, charge, key("k"), takes(0, "again", &runs)), "paid", true)
		// Another key inside the action is none, either, and a panic ends it, too.
		<-start(t.Context(), charge, key("m"), func(ctx context.Context) (string, error) {
			kept = context.WithoutCancel(ctx)
			wantAnswer(t, <-start(ctx, charge, key("n"), takes(0, "inner", new(counter))), "inner", false)
			panic("boom")
		})
		wantPanicReplay(t, <-start(kept, charge, key("m"), returns("again", &runs)), "boom")
		runs.want(t, 1)
		r.idle(p)
	})
}
