package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

var detached = idempotency.OperationOptions[string]{Detach: true}

// The action finishes although everybody has left, and its answer is recorded.
func TestDetachedActionFinishes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, detached)
		type value struct{}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), value{}, "seen"), 5*time.Second)
		defer cancel()
		var runs counter
		action := func(ctx context.Context) (string, error) {
			if _, ok := ctx.Deadline(); ok || ctx.Value(value{}) != "seen" {
				t.Error("the ctx has its caller's deadline, or not its values")
			}
			return takes(5*time.Minute, "paid", &runs)(ctx)
		}
		leader := start(ctx, charge, key("k"), action)
		synctest.Wait()
		follower := start(ctx, charge, key("k"), action)
		for _, call := range []<-chan answer[string]{leader, follower} {
			a := <-call
			wantError(t, a, context.DeadlineExceeded)
			if a.took != 5*time.Second {
				t.Errorf("returned after %v", a.took)
			}
		}
		time.Sleep(time.Minute)
		wantAnswer(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: time.Hour}, action), "paid", true)
		runs.want(t, 1)
		if n := len(p.log.takings()); n != 1 || len(p.log.renewals()) < 29 {
			t.Errorf("%d claims, %d renewals", n, len(p.log.renewals()))
		}
		r.idle(p)
	})
}

func TestDetachedAnswerComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, detached)
		a := <-start(t.Context(), charge, key("k"), takes(time.Second, "paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		if a.Attempt != 1 || a.Fence == 0 {
			t.Errorf("%+v", a.Result)
		}
		declined := errors.New("declined")
		b := <-start(t.Context(), charge, key("l"), func(context.Context) (string, error) { return "", declined })
		if b.err != declined {
			t.Errorf("got %v, want the action's own error", b.err)
		}
		r.idle(p)
	})
}

func TestDetachedPanic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, detached)
		leader := start(t.Context(), charge, key("k"), func(context.Context) (string, error) { time.Sleep(time.Second); panic("boom") })
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", new(counter)))
		if a := <-leader; a.panicked != "boom" {
			t.Errorf("got %v, panic %v", a.err, a.panicked)
		}
		wantPanicReplay(t, <-follower, "boom")

		// Its caller has left: the process must not die of it.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantError(t, <-start(ctx, charge, key("l"), func(context.Context) (string, error) { time.Sleep(time.Minute); panic("boom") }), context.DeadlineExceeded)
		time.Sleep(time.Hour)
		wantPanicReplay(t, <-start(t.Context(), charge, key("l"), returns("again", new(counter))), "boom")
		r.idle(p)
	})
}

func TestDetachedGoexit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, detached)
		leader := start(t.Context(), charge, key("k"), func(context.Context) (string, error) { time.Sleep(time.Second); goexit(); return "", nil })
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		var failed *idempotency.Error
		if a := <-leader; !errors.As(a.err, &failed) || a.Value != "" {
			t.Errorf("got %q, %v", a.Value, a.err)
		}
		a := <-follower
		wantAnswer(t, a, "paid", false)
		if a.Attempt != 2 {
			t.Errorf("attempt %d", a.Attempt)
		}
		r.idle(p)
	})
}

// A detached action that loses its lease is told so, and its value is nobody's.
func TestDetachedLosesItsLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, MaxHold: time.Minute})
		charge := operation(t, p, detached)
		var after time.Duration
		var cause error
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-start(ctx, charge, key("k"), untilCancelled(&after, &cause, true))
		time.Sleep(time.Hour)
		synctest.Wait()
		if cause != idempotency.ErrLeaseLost || after < time.Minute {
			t.Errorf("ended after %v with %v", after, cause)
		}
		r.idle(p)
	})
}

// The claim passes to a detached operation like to any other.
func TestDetachedFailOpen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{FailOpen: true})
		p.down(backend.ErrNotApplied)
		charge := operation(t, p, detached)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var runs counter
		leader := start(ctx, charge, key("k"), takes(time.Minute, "paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: time.Hour}, takes(time.Minute, "paid", &runs))
		wantError(t, <-leader, context.DeadlineExceeded)
		a := <-follower
		wantAnswer(t, a, "paid", true)
		if !a.Unprotected {
			t.Error("the follower isn't told that the run was unprotected")
		}
		runs.want(t, 1)
		r.idle(p)
	})
}

// Drain waits for what goes on without a caller.
func TestDrainWaitsForTheBackground(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, detached)
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("idle: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var runs counter
		p.faults.OnNth(faults.OfEnding(backend.Complete), 1, faults.LoseReply)
		<-start(ctx, charge, key("k"), takes(time.Minute, "paid", &runs))
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := p.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		began := time.Now()
		if err := p.Drain(t.Context()); err != nil || time.Since(began) < 50*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if state := r.fetch("k").State; state != backend.Completed {
			t.Errorf("drained, and the key is %v", state)
		}
		r.idle(p)
	})
}
