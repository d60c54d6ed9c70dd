package idempotency_test

import (
	"context"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// A claim whose outcome stayed unknown when its last caller left: its end goes
// out in the background with the same token, and wins against the late claim.
func TestGivenUpClaim(t *testing.T) {
	for name, abandoned := range map[string]bool{"vacant": false, "takeover": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				want, taking := backend.Release, 1
				if abandoned {
					r.abandon("k")
					want, taking = backend.Abandon, 2 // the first finds the record
				}
				late := make(chan struct{})
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if n != taking {
						return p.log.next.Claim(ctx, storageKey("k"), claim)
					}
					go func() {
						<-late
						p.log.next.Claim(context.WithoutCancel(ctx), storageKey("k"), claim)
						late <- struct{}{}
					}()
					<-ctx.Done()
					return backend.Record{}, ctx.Err()
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var runs counter
				a := <-start(ctx, charge, key("k"), returns("paid", &runs))
				wantError(t, a, context.DeadlineExceeded)
				if a.took != 5*time.Second {
					t.Errorf("returned after %v", a.took)
				}
				r.idle(p)
				claims, ends := p.log.takings(), p.log.endings(want)
				if len(claims) != taking || len(ends) != 1 || ends[0].token != claims[taking-1].token || ends[0].commit.LeaseHeld {
					t.Fatalf("%d claims, ends %+v; want one %v by the same token, without LeaseHeld", len(claims), ends, want)
				}
				late <- struct{}{}
				<-late
				if !abandoned {
					// The released token is dead: its late claim wedges nothing.
					b := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
					wantAnswer(t, b, "paid", false)
					if b.took != 0 {
						t.Errorf("the key was blocked for %v", b.took)
					}
					runs.want(t, 1)
				}
				if used := p.log.takings(); len(used) > taking && used[taking].token == claims[taking-1].token {
					t.Error("a token whose release was sent was used again")
				}
			})
		})
	}
}

// The ending of a claim that was given up is repeated until it is confirmed, and
// not for longer than CommitTimeout.
func TestGivenUpClaimIsEndedStubbornly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: time.Hour, CommitTimeout: 10 * time.Second})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		for range 5 {
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.NotApplied)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantError(t, <-start(ctx, charge, key("k"), returns("paid", new(counter))), context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		if record := r.fetch("k"); record.State != backend.Vacant || record.Unknown() {
			t.Errorf("the record is %+v, want a released one", record)
		}
		r.idle(p)

		for range 1000 {
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.NotApplied)
		}
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		wantError(t, <-start(ctx, charge, key("l"), returns("paid", new(counter))), context.DeadlineExceeded)
		time.Sleep(time.Minute)
		releases := p.log.endings(backend.Release)
		if last := releases[len(releases)-1].at.Sub(began); last > 11*time.Second {
			t.Errorf("the last release went out after %v", last)
		}
		r.idle(p)
	})
}

// A lost reply of a claim is not a lost claim: the same token asks again.
func TestUnknownClaimIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.NotApplied)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LateCall(time.Minute))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		claims := p.log.takings()
		if len(claims) != 4 || a.Attempt != 1 {
			t.Fatalf("%d claims, attempt %d", len(claims), a.Attempt)
		}
		for i, q := range claims {
			if q.token != claims[0].token || q.claim.Seen != 0 || q.claim.Renewal || string(q.claim.Metadata) != string(claims[0].claim.Metadata) {
				t.Errorf("claim %d is another one: %+v", i, q.claim)
			}
		}
		p.faults.DeliverLate()
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "paid", true)
		r.idle(p)
	})
}
