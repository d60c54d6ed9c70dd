package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

var shielded = idempotency.OperationOptions[string]{Shield: true}

// The action finishes although its caller's ctx has ended, in the caller's
// goroutine, and Drain waits for it.
func TestShieldedActionFinishes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, shielded)
		type value struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), value{}, "seen"), 5*time.Second)
		defer cancel()
		var runs counter
		leader := start(ctx, charge, key("k"), func(ctx context.Context) (string, error) {
			if _, ok := ctx.Deadline(); ok || ctx.Value(value{}) != "seen" {
				t.Error("the ctx has its caller's deadline, or not its values")
			}
			return takes(5*time.Minute, "paid", &runs)(ctx)
		})
		synctest.Wait()
		follower := start(ctx, charge, key("k"), returns("again", &runs))
		if a := <-follower; !errors.Is(a.err, context.DeadlineExceeded) || a.took != 5*time.Second {
			t.Errorf("the follower got %v after %v", a.err, a.took)
		}
		if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain: got %v while the action runs", err)
		}
		began := time.Now()
		if err := p.Drain(t.Context()); err != nil || time.Since(began) < 4*time.Minute {
			t.Errorf("Drain: %v after %v", err, time.Since(began))
		}
		a := <-leader
		wantAnswer(t, a, "paid", false)
		if a.took != 5*time.Minute {
			t.Errorf("the leader returned after %v", a.took)
		}
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", &runs)), "paid", true)
		runs.want(t, 1)
		r.idle(p)
	})
}

// The ctx of a shielded action still ends when its lease is lost, also after its
// caller's has.
func TestShieldedLosesItsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, MaxHold: time.Minute})
		charge := operation(t, p, shielded)
		var after time.Duration
		var cause error
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := <-start(ctx, charge, key("k"), untilCancelled(&after, &cause, true))
		if cause != idempotency.ErrLeaseLost || after < time.Minute {
			t.Errorf("ended after %v with %v", after, cause)
		}
		wantError(t, a, idempotency.ErrLeaseLost)
		r.idle(p)
	})
}

// Its caller gets the panic as it is, and everybody else its record.
func TestShieldedPanic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, shielded)
		a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) { panic("boom") })
		if a.panicked != "boom" {
			t.Errorf("got %v, panic %v", a.err, a.panicked)
		}
		wantPanicReplay(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "boom")
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		r.idle(p)
	})
}

func TestShieldedFailOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{FailOpen: true})
		p.down(backend.ErrNotApplied)
		charge := operation(t, p, shielded)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var runs counter
		a := <-start(ctx, charge, key("k"), takes(time.Minute, "paid", &runs))
		if wantAnswer(t, a, "paid", false); !a.Unprotected {
			t.Error("the caller isn't told that the run was unprotected")
		}
		runs.want(t, 1)
		r.idle(p)
	})
}

func TestShieldBesideDetach(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	_, err := idempotency.NewOperation(x, idempotency.OperationOptions[string]{Shield: true, Detach: true})
	if err == nil {
		t.Error("no error")
	}
}
