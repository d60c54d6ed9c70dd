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

// untilCancelled makes an action that runs until its ctx ends, and tells when
// and why.
func untilCancelled(after *time.Duration, cause *error, fail bool) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		began := time.Now()
		<-ctx.Done()
		*after, *cause = time.Since(began), context.Cause(ctx)
		if fail {
			return "", ctx.Err()
		}
		return "late", nil
	}
}

func TestLeaseIsRenewedAtAThird(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		call := start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			for range 10 * 60 {
				time.Sleep(time.Second)
				if record := r.fetch("k"); record.State != backend.Claimed || record.LeaseLeft < lease*2/3 {
					t.Fatalf("the key is %v, %v left", record.State, record.LeaseLeft)
				}
			}
			return "paid", ctx.Err()
		})
		a := <-call
		wantAnswer(t, a, "paid", false)
		claim := p.log.takings()[0]
		renewals := p.log.renewals()
		if len(renewals) < 59 || len(renewals) > 60 {
			t.Errorf("%d renewals in ten minutes", len(renewals))
		}
		for i, q := range renewals {
			if q.token != claim.token || q.claim.Seen != 0 || q.claim.Attempt != 1 || q.claim.Fence != a.Fence || q.claim.Lease != lease {
				t.Errorf("renewal %d: %+v", i, q.claim)
			}
			if at := q.at.Sub(claim.at); at != time.Duration(i+1)*lease/3 {
				t.Errorf("renewal %d after %v", i, at)
			}
		}
		r.idle(p)
	})
}

// The local end counts from when the request went out that set the lease; a
// renewal that isn't answered, applied or not, doesn't move it.
func TestLeaseIsLostAtTheLocalEnd(t *testing.T) {
	unanswered := map[string]faults.Fault{
		"never sent": faults.NotApplied, "reply lost": faults.LoseReply, "silent": faults.Delay(time.Hour),
	}
	for name, fault := range unanswered {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if claim.Renewal && len(p.log.renewals()) > 1 {
						p.faults.OnNth(faults.Of(faults.Claim), 1, fault)
					}
					return p.log.next.Claim(ctx, storageKey("k"), claim)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				var after time.Duration
				var cause error
				a := <-start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, true))
				if want := lease/3 + lease - margin; after != want || cause != idempotency.ErrLeaseLost {
					t.Errorf("the ctx ended after %v with %v, want %v, a lease after the answered renewal was sent", after, cause, want)
				}
				wantError(t, a, idempotency.ErrLeaseLost)
				began := p.log.takings()[0].at
				renewals := p.log.renewals()
				if last := renewals[len(renewals)-1].at; !last.Before(began.Add(after)) {
					t.Errorf("a renewal went out after the local end")
				}
				if name != "silent" && len(renewals) < 10 {
					t.Errorf("only %d renewals were sent", len(renewals))
				}
				r.idle(p)
			})
		})
	}
}

// A lease that lapsed and that nobody took over still commits: the action has
// run, and its value is the answer.
func TestLapsedLeaseStillCommits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var after time.Duration
		var cause error
		wantAnswer(t, <-start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, false)), "late", false)
		if commits := p.log.endings(backend.Complete); len(commits) != 1 || commits[0].commit.LeaseHeld {
			t.Errorf("commits: %+v; want one, without LeaseHeld", commits)
		}
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "late", true)
	})
}

// A renewal that is answered after the local end proves that nobody has taken
// over, but the ctx that was cancelled stays so.
func TestCancelledCtxStaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(context.WithoutCancel(ctx), storageKey("k"), claim)
			if claim.Renewal {
				time.Sleep(lease - 5*time.Second) // also past its ctx
			}
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			<-child.Done()
			time.Sleep(2 * lease)
			if ctx.Err() == nil || context.Cause(ctx) != idempotency.ErrLeaseLost || context.Cause(child) != idempotency.ErrLeaseLost {
				t.Errorf("the ctx is %v, cause %v, its child's %v", ctx.Err(), context.Cause(ctx), context.Cause(child))
			}
			return "late", nil
		})
		wantAnswer(t, a, "late", false)
		if n := len(p.log.renewals()); n != 1 {
			t.Errorf("%d renewals, want none after the local end", n)
		}
		r.idle(p)
	})
}

// A renewal that finds another holder ends the ctx at once.
func TestRenewalFindsAnotherHolder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var after time.Duration
		var cause error
		call := start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, false))
		time.Sleep(time.Second)
		r.store.Forget(t.Context(), storageKey("k")) // the store forgot, and another came
		other := r.claimBy(backend.Token{1}, "k", time.Hour)
		a := <-call
		if after != lease/3 || cause != idempotency.ErrLeaseLost {
			t.Errorf("the ctx ended after %v with %v, want at the first renewal", after, cause)
		}
		wantError(t, a, idempotency.ErrLeaseLost)
		if record := r.fetch("k"); record.Token != other.Token || record.State != backend.Claimed {
			t.Errorf("the other holder's record became %+v", record)
		}
		if q := p.log.endings(backend.Complete); len(q) != 1 || q[0].commit.LeaseHeld {
			t.Errorf("commits %+v, want one without LeaseHeld", q)
		}
		r.idle(p)
	})
}

func TestMaxHoldEndsTheRenewals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, MaxHold: 5 * time.Minute})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var after time.Duration
		var cause error
		wantError(t, <-start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, true)), idempotency.ErrLeaseLost)
		if after <= 5*time.Minute || after > 5*time.Minute+lease || cause != idempotency.ErrLeaseLost {
			t.Errorf("the ctx ended after %v with %v", after, cause)
		}
		renewals := p.log.renewals()
		if last := renewals[len(renewals)-1].at.Sub(p.log.takings()[0].at); last >= 5*time.Minute {
			t.Errorf("renewed after %v", last)
		}
		r.idle(p)
	})
}

func TestRenewalsStopBeforeTheEnd(t *testing.T) {
	errBusy := errors.New("busy")
	for name, test := range map[string]struct {
		ending backend.Ending
		renews bool
	}{"release": {backend.Release, false}, "abandon": {backend.Abandon, false}, "complete": {backend.Complete, true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease, CommitTimeout: 10 * time.Minute})
				p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(5*time.Minute))
				charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
				a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
					switch test.ending {
					case backend.Release:
						return "", errBusy
					case backend.Abandon:
						goexit()
					}
					return "paid", nil
				})
				endings := p.log.endings(test.ending)
				if len(endings) != 1 || a.took != 5*time.Minute && name != "abandon" {
					t.Fatalf("%d endings, %v", len(endings), a.took)
				}
				after := 0
				for _, q := range p.log.renewals() {
					if q.at.After(endings[0].at) {
						after++
					}
				}
				if test.renews != (after > 0) {
					t.Errorf("%d renewals after the ending was sent", after)
				}
				if !endings[0].commit.LeaseHeld {
					t.Error("LeaseHeld is false under a running lease")
				}
				r.idle(p)
			})
		})
	}
}

// A renewal whose reply is outstanding when the release goes out is cut off.
func TestRenewalUnderWayIsCutOff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		errBusy := errors.New("busy")
		charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
		ended := false
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				<-ctx.Done()
				ended = true
				return backend.Record{}, ctx.Err()
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			synctest.Wait()
			if !ended {
				t.Error("the release went out beside a renewal")
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		<-start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(lease / 2)
			return "", errBusy
		})
		r.idle(p)
	})
}

// Nobody who looks at its ctx costs anything, and what was made is freed.
func TestActionCtx(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		type value struct{}
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		caller, cancel := context.WithCancelCause(context.WithValue(t.Context(), value{}, "seen"))
		errGone := errors.New("client gone")
		var kept context.Context
		<-start(caller, charge, key("k"), func(ctx context.Context) (string, error) {
			kept = ctx
			if ctx.Value(value{}) != "seen" || ctx.Err() != nil {
				t.Error("the ctx isn't the caller's")
			}
			cancel(errGone)
			<-ctx.Done()
			if ctx.Err() != context.Canceled || context.Cause(ctx) != errGone {
				t.Errorf("the ctx ended with %v, cause %v", ctx.Err(), context.Cause(ctx))
			}
			return "paid", nil
		})
		<-start(t.Context(), charge, key("l"), func(ctx context.Context) (string, error) { kept = ctx; return "paid", nil })
		select {
		case <-kept.Done():
		default:
			t.Error("the ctx outlives its action")
		}
		r.idle(p)
	})
}
