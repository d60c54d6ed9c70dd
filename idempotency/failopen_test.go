package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// down makes every claim but renewals fail.
func (p *process) down(err error) {
	p.log.onClaim = func(context.Context, int, backend.ClaimRequest) (backend.Record, error) { return backend.Record{}, err }
}

// A store that can't be used fails the call, and the action doesn't run: at once
// where repeating is useless, within a second elsewhere.
func TestStoreDownFailsClosed(t *testing.T) {
	boom := errors.New("connection refused")
	for name, test := range map[string]struct {
		err    error
		claims int
		open   bool // what is sent may have been applied
	}{
		"not applied": {fmt.Errorf("dial: %w: %w", boom, backend.ErrNotApplied), 4, false},
		"unknown":     {boom, 4, true},
		"permanent":   {fmt.Errorf("%w: %w", boom, backend.ErrPermanent), 1, false},
		"corrupt":     {fmt.Errorf("%w: %w", boom, backend.ErrCorrupt), 1, false},
		"closed":      {fmt.Errorf("%w: %w", boom, backend.ErrClosed), 1, false},
		"invalid":     {fmt.Errorf("%w: %w", boom, backend.ErrInvalid), 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				p.log.onClaim = func(context.Context, int, backend.ClaimRequest) (backend.Record, error) {
					time.Sleep(time.Millisecond) // the followers join
					return backend.Record{}, test.err
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				var runs counter
				var calls []<-chan answer[string]
				for range 100 {
					calls = append(calls, start(t.Context(), charge, key("k"), returns("paid", &runs)))
				}
				for _, call := range calls {
					a := <-call
					wantError(t, a, test.err)
					wantError(t, a, boom)
					var failed *idempotency.Error
					if !errors.As(a.err, &failed) || a.Unprotected || a.took > time.Second || test.claims == 1 && a.took > time.Millisecond {
						t.Errorf("got %v after %v", a.err, a.took)
					}
				}
				runs.want(t, 0)
				r.idle(p)
				if n := len(p.log.takings()); n != test.claims {
					t.Errorf("%d claims, want %d", n, test.claims)
				}
				if n := len(p.log.endings(backend.Release)); (n > 0) != test.open {
					t.Errorf("%d releases", n)
				}
			})
		})
	}
}

func TestFailOpen(t *testing.T) {
	for name, err := range map[string]error{
		"not applied": backend.ErrNotApplied, "unknown": faults.ErrUnknownOutcome, "permanent": backend.ErrPermanent,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{FailOpen: true})
				p.down(fmt.Errorf("store: %w", err))
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				var runs counter
				action := func(ctx context.Context) (string, error) {
					execution, ok := idempotency.ExecutionOf(ctx)
					if !ok || execution.Attempt != 0 || execution.Fence != 0 {
						t.Errorf("execution %+v: without a claim there is no attempt and no fence", execution)
					}
					return takes(time.Second, "paid", &runs)(ctx)
				}
				var calls []<-chan answer[string]
				for range 100 {
					calls = append(calls, start(t.Context(), charge, key("k"), action))
				}
				executed := 0
				for _, call := range calls {
					a := <-call
					if !a.Replayed {
						executed++
					}
					wantAnswer(t, a, "paid", a.Replayed)
					if !a.Unprotected {
						t.Fatal("the result doesn't say that it is unprotected")
					}
				}
				runs.want(t, 1)
				if executed != 1 {
					t.Errorf("%d executed", executed)
				}
				r.idle(p)
				p.log.onClaim = nil
				if a := <-start(t.Context(), charge, key("k"), action2(&runs)); a.Unprotected {
					t.Error("unprotected although the store is back")
				}
			})
		})
	}
}

func action2(runs *counter) func(context.Context) (string, error) { return returns("again", runs) }

// A store that is there but refuses, or a record that can't be read, is no reason
// to run without protection.
func TestFailOpenOnlyWhereTheStoreIsDown(t *testing.T) {
	for _, err := range []error{backend.ErrCorrupt, backend.ErrClosed, backend.ErrInvalid, backend.ErrTooLarge} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{FailOpen: true})
			p.down(err)
			var runs counter
			wantError(t, <-start(t.Context(), operation(t, p, idempotency.OperationOptions[string]{}), key("k"), returns("paid", &runs)), err)
			runs.want(t, 0)
		})
	}
}

// What is known about the key stands: it is held, or abandoned.
func TestFailOpenNeverOverARecord(t *testing.T) {
	for name, policy := range map[string]idempotency.AbandonedPolicy{"rerun": idempotency.Rerun, "fail": idempotency.Fail} {
		t.Run("abandoned, "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{FailOpen: true})
				r.abandon("k")
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if n > 1 {
						return backend.Record{}, faults.ErrUnknownOutcome
					}
					return p.log.next.Claim(ctx, storageKey("k"), claim)
				}
				var runs counter
				charge := operation(t, p, idempotency.OperationOptions[string]{OnAbandoned: policy})
				if a := <-start(t.Context(), charge, key("k"), returns("paid", &runs)); a.err == nil || a.Unprotected {
					t.Errorf("got %q, %v", a.Value, a.err)
				}
				runs.want(t, 0)
				r.idle(p)
			})
		})
	}
	t.Run("held", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{FailOpen: true, WaitTimeout: 10 * time.Second})
			r.claimBy(backend.Token{1}, "k", time.Hour)
			p.log.onWait = func(context.Context, int, backend.Token) (backend.Record, error) {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			var runs counter
			a := <-start(t.Context(), operation(t, p, idempotency.OperationOptions[string]{}), key("k"), returns("paid", &runs))
			wantError(t, a, idempotency.ErrWaitTimeout)
			wantError(t, a, faults.ErrUnknownOutcome)
			runs.want(t, 0)
		})
	})
}

// Once the action has started under a claim, a store that goes down is no reason
// to run anything again, and the result isn't unprotected.
func TestFailOpenOnlyBeforeTheStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{FailOpen: true, Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
			runs.add()
			p.down(faults.ErrUnknownOutcome)
			p.log.onCommit = func(context.Context, int, backend.CommitRequest) error { return faults.ErrUnknownOutcome }
			return "paid", nil
		})
		var commitErr *idempotency.CommitError
		if a.Value != "paid" || a.Unprotected || !errors.As(a.err, &commitErr) {
			t.Errorf("got %q, %v, unprotected %v", a.Value, a.err, a.Unprotected)
		}
		runs.want(t, 1)
	})
}

// The claim had reached the store after all: the outcome is recorded, as the
// operation says, or the key is given back.
func TestUnprotectedUnderAnOpenClaim(t *testing.T) {
	errBusy := errors.New("busy")
	for name, test := range map[string]struct {
		action  func(ctx context.Context) (string, error)
		state   backend.State
		refuses bool
	}{
		"value":           {func(context.Context) (string, error) { return "paid", nil }, backend.Completed, false},
		"too large":       {func(context.Context) (string, error) { return "paid", nil }, backend.Completed, true},
		"harmless error":  {func(context.Context) (string, error) { return "", errBusy }, backend.Vacant, false},
		"not recorded":    {func(context.Context) (string, error) { return "drop", nil }, backend.Vacant, false},
		"left abandoned":  {func(context.Context) (string, error) { return "leave", nil }, backend.Abandoned, false},
		"panic":           {func(context.Context) (string, error) { panic("boom") }, backend.Completed, false},
		"goexit":          {func(context.Context) (string, error) { goexit(); return "", nil }, backend.Abandoned, false},
		"cut by its ctx":  {func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }, backend.Abandoned, false},
		"panic in policy": {func(context.Context) (string, error) { return "panic", nil }, backend.Abandoned, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{FailOpen: true, Lease: time.Hour})
				p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
					p.log.next.Claim(ctx, storageKey("k"), claim)
					return backend.Record{}, faults.ErrUnknownOutcome
				}
				p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
					if commit.LeaseHeld {
						t.Error("LeaseHeld for a claim of unknown outcome")
					}
					if n == 1 && test.refuses {
						return backend.ErrTooLarge
					}
					return p.log.next.Commit(ctx, storageKey("k"), commit)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{
					IgnoreError: func(err error) bool { return err == errBusy },
					RetentionFor: func(value string, _ error) idempotency.RetentionChoice {
						switch value {
						case "drop":
							return idempotency.DoNotRecord
						case "leave":
							return idempotency.LeaveAbandoned
						case "panic":
							panic("policy")
						}
						return idempotency.For(2 * time.Hour)
					},
				})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var kept context.Context
				a := <-start(ctx, charge, key("k"), func(ctx context.Context) (string, error) { kept = ctx; return test.action(ctx) })
				if a.Replayed || a.err == nil && !a.Unprotected {
					t.Errorf("got %+v", a)
				}
				r.idle(p)
				record := r.fetch("k")
				if record.State != test.state || test.state == backend.Completed && record.Remaining != 2*time.Hour {
					t.Errorf("the key is %v for %v, want %v", record.State, record.Remaining, test.state)
				}
				select {
				case <-kept.Done():
				default:
					t.Error("the ctx outlives its action")
				}
			})
		})
	}
}

// Followers share the panic of an unprotected run, too.
func TestUnprotectedPanic(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{FailOpen: true})
		p.down(backend.ErrNotApplied)
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		action := func(context.Context) (string, error) { runs.add(); time.Sleep(time.Second); panic("boom") }
		leader := start(t.Context(), charge, key("k"), action)
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), action)
		if a := <-leader; a.panicked != "boom" {
			t.Errorf("the leader got %v, %v", a.err, a.panicked)
		}
		wantPanicReplay(t, <-follower, "boom")
		runs.want(t, 1)
		r.idle(p)
	})
}
