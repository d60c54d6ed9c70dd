package idempotency_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

func TestRerunTakesOver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		abandoned := r.abandon("k")
		a := <-start(t.Context(), charge, key("k"), func(ctx context.Context) (string, error) {
			execution, ok := idempotency.ExecutionOf(ctx)
			if !ok || execution.Attempt != 2 || execution.Fence <= abandoned.Fence || execution.Key != "k" {
				t.Errorf("execution %+v", execution)
			}
			return "paid", nil
		})
		wantAnswer(t, a, "paid", false)
		claims := p.log.takings()
		if len(claims) != 2 || claims[0].claim.Seen != 0 || claims[1].claim.Seen != abandoned.Fence || claims[0].token == claims[1].token {
			t.Errorf("claims %+v; want one that looks, and another intention that takes what was seen", claims)
		}
		r.idle(p)
	})
}

// Under Fail a person decides: every caller is told, nobody runs, nothing
// changes, and Resolve gives all of them their answer.
func TestFailWithManyWaiters(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
		token := backend.Token{1}
		r.claimBy(token, "k", time.Minute)
		var runs counter
		var calls []<-chan answer[string]
		var resolver *idempotency.Operation[string]
		for _, p := range []*process{here, there} {
			charge := operation(t, p, idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail, WaitTimeout: time.Hour})
			resolver = charge
			for range 300 {
				calls = append(calls, start(t.Context(), charge, key("k"), returns("paid", &runs)))
			}
		}
		before := r.fetch("k")
		for _, call := range calls {
			a := <-call
			wantError(t, a, idempotency.ErrAbandoned)
			if a.Attempt != 1 || a.Fence != before.Fence {
				t.Fatalf("attempt %d, fence %d: not those of the record in the way", a.Attempt, a.Fence)
			}
		}
		runs.want(t, 0)
		if after := r.fetch("k"); after.State != backend.Abandoned || after.Token != token || after.Fence != before.Fence {
			t.Errorf("the record became %+v", after)
		}
		if err := resolver.Resolve(t.Context(), "k", "by hand", nil); err != nil {
			t.Fatal(err)
		}
		wantAnswer(t, <-start(t.Context(), resolver, key("k"), returns("paid", &runs)), "by hand", true)
		runs.want(t, 0)
		r.idle(here, there)
	})
}

// After Keep the key is vacant, under any policy.
func TestAbandonedIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Keep: time.Hour})
		charge := operation(t, p, idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail})
		call := start(t.Context(), charge, key("k"), func(context.Context) (string, error) { goexit(); return "", nil })
		<-call
		wantError(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), idempotency.ErrAbandoned)
		time.Sleep(time.Hour)
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "paid", false)
	})
}

// Two processes have seen the same abandoned attempt: one takes over, the other
// waits for it.
func TestTwoDecideOnTheSameAttempt(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
		r.abandon("k")
		var both counter
		arrived := make(chan struct{})
		for _, p := range []*process{here, there} {
			p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
				record, err := p.log.next.Claim(ctx, storageKey("k"), claim)
				if n == 1 { // both have looked before either takes
					if both.add(); both.count() == 2 {
						close(arrived)
					}
					<-arrived
				}
				return record, err
			}
		}
		var runs, questions counter
		reconcile := idempotency.OperationOptions[string]{Reconcile: asked(&questions, func(context.Context) (decision, error) {
			time.Sleep(time.Second)
			return idempotency.RunAgain[string](), nil
		})}
		a := start(t.Context(), operation(t, here, reconcile), key("k"), takes(time.Second, "paid", &runs))
		b := start(t.Context(), operation(t, there, reconcile), key("k"), takes(time.Second, "paid", &runs))
		x, y := <-a, <-b
		wantAnswer(t, x, "paid", x.Replayed)
		wantAnswer(t, y, "paid", !x.Replayed)
		runs.want(t, 1)
		if questions.count() != 1 {
			t.Errorf("Reconcile was asked %d times", questions.count())
		}
		r.idle(here, there)
	})
}

// Whoever was quicker may be gone again: then the record is looked at anew, with
// another token for another intention.
func TestOvertakenTakeover(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			if n == 2 || n == 3 {
				other := backend.Token{byte(n)}
				r.claimBy(other, "k", time.Minute)
				r.endBy(other, "k", backend.Abandon)
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		claims := p.log.takings()
		if len(claims) != 4 || a.Attempt != 4 {
			t.Fatalf("%d claims, attempt %d", len(claims), a.Attempt)
		}
		tokens := map[backend.Token]bool{}
		for i, q := range claims {
			if tokens[q.token] || i > 0 && q.claim.Seen <= claims[i-1].claim.Seen {
				t.Errorf("claim %d repeats a token or what was seen: %+v", i, q.claim)
			}
			tokens[q.token] = true
		}
	})
}

// The abandoned record is forgotten before it is taken: then the key is unknown,
// and is claimed as such.
func TestAbandonedIsForgottenMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			if n == 2 {
				r.store.Forget(ctx, storageKey("k"))
			}
			return p.log.next.Claim(ctx, storageKey("k"), claim)
		}
		questions := new(counter)
		charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: asked(questions, func(context.Context) (decision, error) {
			return idempotency.Unknown[string](), nil
		})})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		claims := p.log.takings()
		if len(claims) != 3 || claims[2].claim.Seen != 0 || claims[2].token == claims[1].token || a.Attempt != 1 || questions.count() != 0 {
			t.Errorf("claims %+v, attempt %d, asked %d times", claims, a.Attempt, questions.count())
		}
	})
}

// A record that says in a way that this version can't read whose it is: it isn't
// run on, waited for or changed.
func TestUnreadableHolder(t *testing.T) {
	for name, abandoned := range map[string]bool{"held": false, "abandoned": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{FailOpen: true})
				claim := backend.ClaimRequest{Token: backend.Token{1}, Lease: time.Hour, Keep: time.Hour, Metadata: []byte{0xf0, 1, 2}}
				if _, err := r.store.Claim(t.Context(), storageKey("k"), claim); err != nil {
					t.Fatal(err)
				}
				if abandoned {
					r.endBy(claim.Token, "k", backend.Abandon)
				}
				before := r.fetch("k")
				var runs counter
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				a := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
				wantError(t, a, backend.ErrCorrupt)
				runs.want(t, 0)
				if after := r.fetch("k"); a.took != 0 || after.State != before.State || after.Fence != before.Fence || len(p.log.of(nil)) != 1 {
					t.Errorf("after %v and %d requests the record is %+v", a.took, len(p.log.of(nil)), after)
				}
				r.idle(p)
			})
		})
	}
}

// Fingerprint and operation come before the policy.
func TestAbandonedByAnotherRequest(t *testing.T) {
	for name, policy := range map[string]idempotency.AbandonedPolicy{"rerun": idempotency.Rerun, "fail": idempotency.Fail} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				charge := operation(t, p, idempotency.OperationOptions[string]{Name: "charge", OnAbandoned: policy})
				refund := operation(t, p, idempotency.OperationOptions[string]{Name: "refund", OnAbandoned: policy})
				<-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, func(context.Context) (string, error) { goexit(); return "", nil })
				var runs counter
				wantError(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("paid", &runs)), idempotency.ErrFingerprintMismatch)
				wantError(t, <-start(t.Context(), refund, key("k"), returns("paid", &runs)), idempotency.ErrFingerprintMismatch)
				runs.want(t, 0)
				if state := r.fetch("k").State; state != backend.Abandoned {
					t.Errorf("the key is %v", state)
				}
			})
		})
	}
}

// A call that doesn't say who it is takes over: the record still says whose it is.
func TestTakeoverKeepsWhatIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{Name: "charge"})
		refund := operation(t, p, idempotency.OperationOptions[string]{Name: "refund"})
		unnamed := operation(t, p, idempotency.OperationOptions[string]{})
		<-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, func(context.Context) (string, error) { goexit(); return "", nil })
		var runs counter
		wantAnswer(t, <-start(t.Context(), unnamed, key("k"), returns("paid", &runs)), "paid", false)
		wantError(t, <-start(t.Context(), refund, key("k"), returns("again", &runs)), idempotency.ErrFingerprintMismatch)
		wantError(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("again", &runs)), idempotency.ErrFingerprintMismatch)
		wantAnswer(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("again", &runs)), "paid", true)
		runs.want(t, 1)
	})
}

// The takeover is applied and its reply lost; the repeated request is told
// "yours", and Reconcile is asked all the same.
func TestLostReplyOfATakeover(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		p.faults.OnNth(faults.Of(faults.Claim), 2, faults.LoseReply)
		var questions, runs counter
		charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: asked(&questions, func(context.Context) (decision, error) {
			return idempotency.Answer("found", nil), nil
		})})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", &runs)), "found", true)
		claims := p.log.takings()
		if len(claims) != 3 || claims[1].token != claims[2].token || claims[1].claim.Seen != claims[2].claim.Seen {
			t.Errorf("claims %+v", claims)
		}
		if questions.count() != 1 {
			t.Errorf("Reconcile was asked %d times", questions.count())
		}
		runs.want(t, 0)
	})
}

// The same, and the caller leaves: another goes on with the takeover and asks.
func TestBatonOfATakeover(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		ctx, cancel := context.WithCancel(t.Context())
		p.log.onClaim = func(claimCtx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(claimCtx, storageKey("k"), claim)
			if n == 2 {
				time.Sleep(time.Second)
				cancel()
			}
			return record, err
		}
		var questions, runs counter
		reconcile := operation(t, p, idempotency.OperationOptions[string]{Reconcile: asked(&questions, func(context.Context) (decision, error) {
			return idempotency.Answer("found", nil), nil
		})})
		strict := operation(t, p, idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail})
		leader := start(ctx, reconcile, key("k"), returns("paid", &runs))
		synctest.Wait()
		cautious := start(t.Context(), strict, key("k"), returns("paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), reconcile, key("k"), returns("paid", &runs))
		wantError(t, <-leader, context.Canceled)
		// It got the baton and decided not to run; the takeover went on to the next.
		wantError(t, <-cautious, idempotency.ErrAbandoned)
		wantAnswer(t, <-follower, "found", true)
		runs.want(t, 0)
		if n := len(p.log.takings()); n != 2 || questions.count() != 1 {
			t.Errorf("%d claims, asked %d times", n, questions.count())
		}
		r.idle(p)
	})
}

// An owned takeover whose last caller leaves before it has decided ends by
// Abandon, under a proven lease: a release would launder "nobody knows".
func TestUndecidedTakeoverIsAbandoned(t *testing.T) {
	for _, policy := range []idempotency.AbandonedPolicy{idempotency.Rerun, idempotency.Reconcile} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				r.abandon("k")
				ctx, cancel := context.WithCancel(t.Context())
				p.log.onClaim = func(claimCtx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					record, err := p.log.next.Claim(claimCtx, storageKey("k"), claim)
					if n == 2 {
						cancel()
					}
					return record, err
				}
				options := idempotency.OperationOptions[string]{OnAbandoned: policy}
				if policy == idempotency.Reconcile {
					options.Reconcile = func(context.Context, idempotency.Abandoned) (decision, error) {
						t.Error("asked although the caller had left")
						return decision{}, nil
					}
				}
				wantError(t, <-start(ctx, operation(t, p, options), key("k"), returns("paid", new(counter))), context.Canceled)
				r.idle(p)
				ends := p.log.endings(backend.Abandon)
				if len(ends) != 1 || !ends[0].commit.LeaseHeld || ends[0].token != p.log.takings()[1].token || len(p.log.endings(backend.Release)) != 0 {
					t.Errorf("requests %+v", p.log.of(nil))
				}
				record := r.fetch("k")
				if record.State != backend.Abandoned || record.Attempt != 2 {
					t.Errorf("the record is %+v", record)
				}
			})
		})
	}
}
