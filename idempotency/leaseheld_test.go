package idempotency_test

import (
	"context"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

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
