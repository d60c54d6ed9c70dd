package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

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
