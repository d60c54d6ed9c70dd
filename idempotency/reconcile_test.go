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

type decision = idempotency.Decision[string]

// asked is a Reconcile function that counts its calls.
func asked(n *counter, answer func(ctx context.Context) (decision, error)) func(context.Context, idempotency.Abandoned) (decision, error) {
	return func(ctx context.Context, _ idempotency.Abandoned) (decision, error) {
		n.add()
		return answer(ctx)
	}
}

var errDown = errors.New("provider is down")

func TestReconcile(t *testing.T) {
	errProvider := errors.New("provider: declined")
	for name, test := range map[string]struct {
		answer   func(context.Context) (decision, error)
		state    backend.State
		leader   func(*testing.T, answer[string])
		follower func(*testing.T, answer[string])
		asked    int
		runs     int
	}{
		"a value": {
			func(context.Context) (decision, error) { return idempotency.Answer("found", nil), nil }, backend.Completed,
			func(t *testing.T, a answer[string]) { wantAnswer(t, a, "found", true) },
			func(t *testing.T, a answer[string]) { wantAnswer(t, a, "found", true) }, 1, 0,
		},
		"an error": {
			func(context.Context) (decision, error) { return idempotency.Answer("ignored", errProvider), nil }, backend.Completed,
			wantReplayedText(errProvider.Error()), wantReplayedText(errProvider.Error()), 1, 0,
		},
		"run again": {
			func(context.Context) (decision, error) { return idempotency.RunAgain[string](), nil }, backend.Completed,
			func(t *testing.T, a answer[string]) { wantAnswer(t, a, "paid", false) },
			func(t *testing.T, a answer[string]) { wantAnswer(t, a, "paid", true) }, 1, 1,
		},
		"unknown": {
			func(context.Context) (decision, error) { return idempotency.Unknown[string](), nil }, backend.Abandoned,
			func(t *testing.T, a answer[string]) { wantError(t, a, idempotency.ErrAbandoned) },
			func(t *testing.T, a answer[string]) { wantError(t, a, idempotency.ErrAbandoned) }, 1, 0,
		},
		"fails": {
			func(context.Context) (decision, error) { return idempotency.Answer("not this", nil), errDown }, backend.Abandoned,
			func(t *testing.T, a answer[string]) {
				wantError(t, a, idempotency.ErrAbandoned)
				wantError(t, a, errDown)
			},
			func(t *testing.T, a answer[string]) { wantError(t, a, errDown) }, 1, 0,
		},
		"panics": {
			func(context.Context) (decision, error) { panic("reconcile") }, backend.Abandoned,
			func(t *testing.T, a answer[string]) {
				if a.panicked != "reconcile" {
					t.Errorf("got %v, %v", a.err, a.panicked)
				}
			},
			func(t *testing.T, a answer[string]) {
				if a.panicked != "reconcile" { // it asks in its turn
					t.Errorf("got %v, %v", a.err, a.panicked)
				}
			}, 2, 0,
		},
		"exits": {
			func(context.Context) (decision, error) { goexit(); return decision{}, nil }, backend.Abandoned,
			func(t *testing.T, a answer[string]) { wantError(t, a, errGoexit) },
			func(t *testing.T, a answer[string]) { wantError(t, a, errGoexit) }, 2, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				abandoned := r.abandon("k")
				var questions, runs counter
				charge := operation(t, p, idempotency.OperationOptions[string]{
					Reconcile: func(ctx context.Context, a idempotency.Abandoned) (decision, error) {
						questions.add()
						if a.Key != "k" || questions.count() == 1 && (a.Attempt != abandoned.Attempt || a.Fence != abandoned.Fence) {
							t.Errorf("asked about %+v", a)
						}
						for range 10 {
							time.Sleep(lease / 2) // under a lease that is renewed
							if record := r.fetch("k"); record.State != backend.Claimed {
								t.Errorf("the key is %v while Reconcile is asked", record.State)
							}
						}
						return test.answer(ctx)
					},
				})
				leader := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: time.Hour}, returns("paid", &runs))
				synctest.Wait()
				follower := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: time.Hour}, returns("paid", &runs))
				test.leader(t, <-leader)
				test.follower(t, <-follower)
				runs.want(t, test.runs)
				if questions.count() != test.asked {
					t.Errorf("Reconcile was asked %d times, want %d", questions.count(), test.asked)
				}
				if state := r.fetch("k").State; state != test.state {
					t.Errorf("the key is %v, want %v", state, test.state)
				}
				if n := len(p.log.endings(backend.Release)); n != 0 {
					t.Errorf("%d releases: an undecided takeover ends by Abandon", n)
				}
				r.idle(p)
			})
		})
	}
}

func wantReplayedText(text string) func(*testing.T, answer[string]) {
	return func(t *testing.T, a answer[string]) {
		t.Helper()
		var replayed *idempotency.ReplayedError
		if !errors.As(a.err, &replayed) || a.err.Error() != text || a.Value != "" || !a.Replayed {
			t.Errorf("got %q, %v", a.Value, a.err)
		}
	}
}

// The caller's ctx ends while Reconcile is asked: its answer isn't used, the key
// stays abandoned, and a follower, whose ctx is alive, asks in its turn.
func TestReconcileCutShort(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		var questions, runs counter
		charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: asked(&questions, func(ctx context.Context) (decision, error) {
			if questions.count() == 1 {
				<-ctx.Done()
			}
			return idempotency.Answer("found", nil), nil
		})})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		leader := start(ctx, charge, key("k"), returns("paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("paid", &runs))
		a := <-leader
		wantError(t, a, idempotency.ErrAbandoned)
		wantAnswer(t, <-follower, "found", true)
		if questions.count() != 2 || len(p.log.endings(backend.Abandon)) != 1 {
			t.Errorf("asked %d times, %d times abandoned", questions.count(), len(p.log.endings(backend.Abandon)))
		}
		runs.want(t, 0)
		r.idle(p)
	})
}

// The lease is lost while Reconcile is asked: whatever it answers, nothing is
// recorded and nothing runs.
func TestReconcileLosesItsLease(t *testing.T) {
	for name, found := range map[string]decision{"answer": idempotency.Answer("found", nil), "run again": idempotency.RunAgain[string]()} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				p.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
					if claim.Renewal {
						return backend.Record{}, faults.ErrUnknownOutcome
					}
					return p.log.next.Claim(ctx, storageKey("k"), claim)
				}
				r.abandon("k")
				var runs counter
				charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: func(ctx context.Context, _ idempotency.Abandoned) (decision, error) {
					<-ctx.Done()
					if context.Cause(ctx) != idempotency.ErrLeaseLost {
						t.Errorf("cause %v", context.Cause(ctx))
					}
					return found, nil
				}})
				wantError(t, <-start(t.Context(), charge, key("k"), returns("paid", &runs)), idempotency.ErrAbandoned)
				runs.want(t, 0)
				if record := r.fetch("k"); record.State != backend.Abandoned {
					t.Errorf("the key is %v", record.State)
				}
				r.idle(p)
			})
		})
	}
}

// The decision can't be recorded: its value is returned beside a CommitError,
// and a later call asks again.
func TestUnrecordedDecision(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		r.abandon("k")
		p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Fail(backend.ErrPermanent))
		var questions counter
		charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: asked(&questions, func(context.Context) (decision, error) {
			return idempotency.Answer("found", nil), nil
		})})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		var commitErr *idempotency.CommitError
		if a.Value != "found" || !errors.As(a.err, &commitErr) {
			t.Errorf("got %q, %v", a.Value, a.err)
		}
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "found", true)
		if questions.count() != 2 {
			t.Errorf("asked %d times", questions.count())
		}
		r.idle(p)
	})
}

// While Reconcile was asked another took over and answered: that answer counts.
func TestOvertakenDecision(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p, other := r.process(idempotency.Options{Lease: lease, MaxHold: time.Second}), r.process(idempotency.Options{})
		r.abandon("k")
		there := operation(t, other, idempotency.OperationOptions[string]{})
		charge := operation(t, p, idempotency.OperationOptions[string]{Reconcile: func(context.Context, idempotency.Abandoned) (decision, error) {
			r.store.Forget(t.Context(), storageKey("k"))
			wantAnswer(t, <-start(t.Context(), there, key("k"), returns("winner", new(counter))), "winner", false)
			return idempotency.Answer("found", nil), nil
		}})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "winner", true)
		r.idle(p, other)
	})
}

// Reconcile can't call its own key.
func TestReconcileIsReentrant(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.abandon("k")
		var charge *idempotency.Operation[string]
		charge = operation(t, p, idempotency.OperationOptions[string]{Reconcile: func(ctx context.Context, _ idempotency.Abandoned) (decision, error) {
			_, err := charge.Run(ctx, "k", returns("nested", new(counter)))
			return decision{}, err
		}})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantError(t, a, idempotency.ErrReentrant)
		wantError(t, a, idempotency.ErrAbandoned)
	})
}
