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

// The reply of a claim takes longer than the lease: the same taking is sent
// again before the action starts.
func TestLateReplyOfAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
			if n == 1 {
				time.Sleep(lease - margin)
			}
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			if n := len(p.log.takings()); n != 2 {
				t.Errorf("the action started after %d claims", n)
			}
			return returns("paid", &runs)(ctx)
		})
		wantAnswer(t, a, "paid", false)
		runs.want(t, 1)
		claims := p.log.takings()
		if n := len(p.log.renewals()); n != 0 || len(claims) != 2 {
			t.Fatalf("%d claims and %d renewals", len(claims), n)
		}
		if claims[0].token != claims[1].token || claims[1].claim.Seen != claims[0].claim.Seen {
			t.Error("the repeated claim is another taking")
		}
		if claims[1].claim.Fence <= claims[0].claim.Fence {
			t.Error("the repeated claim didn't read the clock anew")
		}
		if a.Attempt != 1 {
			t.Errorf("attempt %d", a.Attempt)
		}
	})
}

// While the reply was on its way the lease ended and another took over: the
// action must not start.
func TestLateReplyOfAClaimThatWasTakenOver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
			if n == 1 {
				time.Sleep(lease)
				r.claimBy(backend.Token{1}, "k", lease)
			}
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		time.AfterFunc(lease+10*time.Second, func() { r.endBy(backend.Token{1}, "k", backend.Release) })
		var runs counter
		a := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
		wantAnswer(t, a, "paid", false)
		if a.Attempt != 3 || a.took != lease+10*time.Second {
			t.Errorf("attempt %d after %v, want the third, after the other's release", a.Attempt, a.took)
		}
	})
}

// A claim answered in time, but late, leaves that much less of its lease.
func TestLeaseCountsFromTheSending(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
			time.Sleep(20 * time.Second)
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var after time.Duration
		var cause error
		<-start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, true))
		if after != lease-margin-20*time.Second || cause != idempotency.ErrLeaseLost {
			t.Errorf("the ctx ended after %v with %v", after, cause)
		}
		if q := p.log.renewals()[0]; q.at.Sub(p.log.takings()[0].at) != 20*time.Second {
			t.Error("the renewal that was due didn't go out at once")
		}
	})
}

func TestStoreSlowerThanTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
			time.Sleep(lease)
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		a := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
		runs.want(t, 0)
		var failed *idempotency.Error
		if !errors.As(a.err, &failed) || failed.Step != "claim" {
			t.Errorf("got %v", a.err)
		}
		r.idle(p)
		if releases := p.log.endings(backend.Release); len(releases) != 1 || r.fetch("k").State != backend.Vacant {
			t.Errorf("%d releases, the key is %v", len(releases), r.fetch("k").State)
		}
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

// The commit was applied and its reply lost; a renewal meets the completed
// record. Nothing is lost: the repeated commit still says so.
func TestRenewalFindsItsOwnOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: time.Minute})
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			if n == 1 {
				p.log.next.Commit(ctx, storageKey("k"), commit)
				time.Sleep(lease / 2)
				r.store.Forget(context.Background(), storageKey("k"))
				return faults.ErrUnknownOutcome
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "paid", false)
		if n := len(p.log.renewals()); n != 1 {
			t.Errorf("%d renewals, want one that finds the outcome, and none after it", n)
		}
		commits := p.log.endings(backend.Complete)
		if len(commits) != 2 || !commits[0].commit.LeaseHeld || !commits[1].commit.LeaseHeld {
			t.Errorf("commits %+v, want two with LeaseHeld", commits)
		}
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

// Renewals are counted from their sending, like claims: slow replies neither
// delay the next one nor prolong the lease.
func TestSlowReplyOfARenewal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			if n > 4 {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
			if claim.Renewal {
				time.Sleep(8 * time.Second)
			}
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var after time.Duration
		var cause error
		<-start(t.Context(), charge, key("k"), untilCancelled(&after, &cause, true))
		began := p.log.takings()[0].at
		for i, q := range p.log.renewals()[:4] {
			if at := q.at.Sub(began); at != time.Duration(i+1)*lease/3 {
				t.Errorf("renewal %d went out after %v", i, at)
			}
		}
		if want := lease + lease - margin; after != want {
			t.Errorf("the lease was lost after %v, want %v: the third renewal was the last that was answered", after, want)
		}
		r.idle(p)
	})
}

// The reply of a renewal that comes while the claim is being ended says nothing
// any more.
func TestReplyOfARenewalDuringTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: time.Minute})
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				time.Sleep(5 * time.Second) // the claim has been abandoned meanwhile
			}
			return p.log.next.Claim(context.WithoutCancel(ctx), storageKey("k"), claim)
		}
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			err := p.log.next.Commit(ctx, storageKey("k"), commit)
			if n == 1 {
				time.Sleep(8 * time.Second)
				return faults.ErrUnknownOutcome
			}
			return err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		<-start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(lease/3 + time.Second)
			goexit()
			return "", nil
		})
		r.idle(p)
		ends := p.log.endings(backend.Abandon)
		if len(ends) != 2 || !ends[0].commit.LeaseHeld || !ends[1].commit.LeaseHeld {
			t.Errorf("endings %+v; want two under a lease that is proven", ends)
		}
	})
}

// LeaseHeld is told anew at each send.
func TestLeaseHeldAtEachSend(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: 5 * time.Minute})
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			if n < 10 {
				time.Sleep(5 * time.Second)
				return faults.ErrUnknownOutcome
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "paid", false)
		end := p.log.takings()[0].at.Add(lease - margin)
		for i, q := range p.log.endings(backend.Complete) {
			if q.commit.LeaseHeld != q.at.Before(end) {
				t.Errorf("send %d: LeaseHeld is %v", i, q.commit.LeaseHeld)
			}
		}
	})
}

// The store forgets the claim while the action runs. The renewal re-creates it
// with the attempt and the fence that it had; a commit under an unbroken lease is
// kept.
func TestStoreForgetsTheClaim(t *testing.T) {
	for name, renewed := range map[string]bool{"then a renewal": true, "then the commit": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				charge := operation(t, p, idempotency.OperationOptions[string]{Name: "charge"})
				a := <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, func(ctx context.Context) (string, error) {
					r.store.Forget(ctx, storageKey("k"))
					if renewed {
						time.Sleep(lease)
						execution, _ := idempotency.ExecutionOf(ctx)
						if record := r.fetch("k"); record.State != backend.Claimed || record.Fence != execution.Fence || record.Attempt != 1 {
							t.Errorf("after a renewal the record is %+v", record)
						}
					}
					return "paid", ctx.Err()
				})
				wantAnswer(t, a, "paid", false)
				record := r.fetch("k")
				if record.State != backend.Completed || record.Fence != a.Fence || string(record.Fingerprint) != "a" {
					t.Errorf("the record is %+v", record)
				}
				wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "paid", true)
			})
		})
	}
}

// A store that forgot and a lease that isn't proven: the answer can't be told
// from an overtaken one, and is refused.
func TestStoreForgetsAfterTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
			if claim.Renewal {
				return backend.Record{}, faults.ErrUnknownOutcome
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			time.Sleep(lease)
			r.store.Forget(context.Background(), storageKey("k"))
			return "late", nil
		})
		wantError(t, a, idempotency.ErrLeaseLost)
		if record := r.fetch("k"); !record.Unknown() {
			t.Errorf("the record is %+v", record)
		}
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
