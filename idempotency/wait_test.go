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

func TestWaitsForAnotherProcess(t *testing.T) {
	for name, deaf := range map[string]bool{"woken": false, "without wake-ups": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
				if deaf {
					here.faults.OnNth(faults.Of(faults.Wait), 1, faults.DropWakeups)
				}
				var runs counter
				holder := start(t.Context(), operation(t, there, idempotency.OperationOptions[string]{}), key("k"), takes(8*time.Second, "paid", &runs))
				synctest.Wait()
				charge := operation(t, here, idempotency.OperationOptions[string]{})
				var calls []<-chan answer[string]
				for range 1000 {
					calls = append(calls, start(t.Context(), charge, key("k"), takes(0, "again", &runs)))
				}
				for _, call := range calls {
					a := <-call
					wantAnswer(t, a, "paid", true)
					if !deaf && a.took != 8*time.Second {
						t.Fatalf("answered after %v", a.took)
					}
				}
				wantAnswer(t, <-holder, "paid", false)
				runs.want(t, 1)
				if n := len(here.log.of(nil)); n != 2 {
					t.Errorf("%d requests, want one claim and one wait for 1,000 callers", n)
				}
				r.idle(here, there)
			})
		})
	}
}

func TestInProgressElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		record := r.claimBy(backend.Token{1}, "k", time.Minute)
		time.Sleep(10 * time.Second)
		charge := operation(t, p, idempotency.OperationOptions[string]{NoWait: true})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		var inProgress *idempotency.InProgressError
		if !errors.As(a.err, &inProgress) || inProgress.LeaseLeft != 50*time.Second || a.took != 0 {
			t.Errorf("got %v after %v", a.err, a.took)
		}
		if a.Attempt != 1 || a.Fence != record.Fence {
			t.Errorf("attempt %d, fence %d", a.Attempt, a.Fence)
		}
		if n := len(p.log.of(nil)); n != 1 {
			t.Errorf("%d requests", n)
		}
		r.idle(p)
	})
}

// Callers who don't wait are told while another one of their process waits.
func TestNoWaitBesideAWaiter(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.claimBy(backend.Token{1}, "k", time.Minute)
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		waiter := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		time.Sleep(10 * time.Second)
		a := <-start(t.Context(), charge, idempotency.Call{Key: "k", NoWait: true}, returns("paid", new(counter)))
		var inProgress *idempotency.InProgressError
		if !errors.As(a.err, &inProgress) || inProgress.LeaseLeft != 50*time.Second || a.took != 0 {
			t.Errorf("got %v after %v", a.err, a.took)
		}
		wantAnswer(t, <-waiter, "paid", false)
	})
}

// WaitTimeout is the total: it isn't started anew for each holder, here or
// elsewhere.
func TestWaitTimeoutIsTheTotal(t *testing.T) {
	t.Run("elsewhere", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{})
			r.claimBy(backend.Token{1}, "k", time.Hour)
			charge := operation(t, p, idempotency.OperationOptions[string]{WaitTimeout: 10 * time.Second})
			call := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
			for n := byte(1); n < 20; n++ {
				time.Sleep(3 * time.Second)
				r.endBy(backend.Token{n}, "k", backend.Abandon)
				r.claimBy(backend.Token{n + 1}, "k", time.Hour)
			}
			a := <-call
			wantError(t, a, idempotency.ErrWaitTimeout)
			if a.took != 10*time.Second {
				t.Errorf("timed out after %v", a.took)
			}
			// Its wait ran out: nothing of the holder's was touched.
			if n := len(p.log.of(func(q request) bool { return q.verb == faults.Commit })); n != 0 {
				t.Errorf("%d commits", n)
			}
			r.idle(p)
		})
	})
	t.Run("here", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{})
			errBusy := errors.New("busy")
			charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }, WaitTimeout: time.Hour})
			action := func(context.Context) (string, error) { time.Sleep(3 * time.Second); return "", errBusy }
			for range 20 {
				start(t.Context(), charge, key("k"), action)
			}
			synctest.Wait()
			impatient := 0
			var calls []<-chan answer[string]
			for range 20 {
				calls = append(calls, start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: 10 * time.Second}, action))
			}
			for _, call := range calls {
				a := <-call
				if errors.Is(a.err, idempotency.ErrWaitTimeout) {
					impatient++
					if a.took != 10*time.Second {
						t.Errorf("timed out after %v", a.took)
					}
				}
			}
			if impatient < 16 {
				t.Errorf("only %d timed out, in ten seconds at most four can have run", impatient)
			}
			time.Sleep(time.Hour)
			r.idle(p)
		})
	})
}

// Who waits for another process passes the baton when it leaves: the rest of its
// process goes on waiting.
func TestWaiterPassesTheBaton(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.claimBy(backend.Token{1}, "k", time.Hour)
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		impatient := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: 5 * time.Second}, returns("paid", new(counter)))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		leaving := start(ctx, charge, key("k"), returns("paid", new(counter)))
		synctest.Wait()
		var calls []<-chan answer[string]
		for range 100 {
			calls = append(calls, start(t.Context(), charge, key("k"), returns("paid", new(counter))))
		}
		a := <-impatient
		wantError(t, a, idempotency.ErrWaitTimeout)
		if a.took != 5*time.Second {
			t.Errorf("left after %v", a.took)
		}
		a = <-leaving
		wantError(t, a, context.DeadlineExceeded)
		if a.took != 7*time.Second {
			t.Errorf("left after %v", a.took)
		}
		time.Sleep(time.Second)
		r.endBy(backend.Token{1}, "k", backend.Release)
		executed := 0
		for _, call := range calls {
			a := <-call
			wantAnswer(t, a, "paid", a.Replayed)
			if !a.Replayed {
				executed++
			}
		}
		if executed != 1 || len(p.log.takings()) != 2 {
			t.Errorf("%d executed, %d claims", executed, len(p.log.takings()))
		}
		r.idle(p)
	})
}

// A store that doesn't answer a wait is asked again: somebody holds the key, and
// there is time. One that never will is reported at once.
func TestFailingWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.claimBy(backend.Token{1}, "k", time.Hour)
		for range 5 {
			p.faults.OnNth(faults.Of(faults.Wait), 1, faults.LateCall(0))
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		call := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		time.Sleep(5 * time.Second)
		r.endBy(backend.Token{1}, "k", backend.Release)
		wantAnswer(t, <-call, "paid", false)
	})
	for _, final := range []error{backend.ErrPermanent, backend.ErrCorrupt, backend.ErrClosed} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{})
			r.claimBy(backend.Token{1}, "k", time.Hour)
			p.faults.OnNth(faults.Of(faults.Wait), 1, faults.Fail(fmt.Errorf("store: %w", final)))
			var runs counter
			a := <-start(t.Context(), operation(t, p, idempotency.OperationOptions[string]{}), key("k"), returns("paid", &runs))
			wantError(t, a, final)
			if a.took != 0 {
				t.Errorf("after %v", a.took)
			}
			runs.want(t, 0)
			r.idle(p)
		})
	}
}

// A store whose Wait returns too early must not make us spin.
func TestEarlyWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		r.claimBy(backend.Token{1}, "k", time.Minute)
		p.log.onWait = func(ctx context.Context, _ int, _ backend.Token) (backend.Record, error) {
			return r.store.Fetch(ctx, storageKey("k"))
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{WaitTimeout: idempotency.Unlimited})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		if n := len(p.log.of(nil)); n > 1000 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

// A store that always says that somebody was quicker and is gone again.
func TestFlappingKey(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.log.onClaim = func(_ context.Context, n int, _ backend.ClaimRequest) (backend.Record, error) {
			return backend.Record{State: backend.Vacant, Token: backend.Token{1}, Attempt: uint32(n), Fence: uint64(n)}, nil
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{WaitTimeout: 10 * time.Second})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantError(t, a, idempotency.ErrWaitTimeout)
		if n := len(p.log.of(nil)); n > 1000 || a.took > 11*time.Second {
			t.Errorf("%d requests in %v", n, a.took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		a = <-start(ctx, charge, idempotency.Call{Key: "k", WaitTimeout: idempotency.Unlimited}, returns("paid", new(counter)))
		wantError(t, a, context.DeadlineExceeded)
		r.idle(p)
	})
}

// A ctx that is over before the call sends nothing.
func TestEndedCtxSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{FailOpen: true})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantError(t, <-start(ctx, operation(t, p, idempotency.OperationOptions[string]{}), key("k"), returns("paid", new(counter))), context.Canceled)
		if n := len(p.log.of(nil)); n != 0 {
			t.Errorf("%d requests", n)
		}
		r.idle(p)
	})
}

// The key belongs to another request: no waiting, and nothing of its answer.
func TestMismatchIsToldBeforeWaiting(t *testing.T) {
	for name, ended := range map[string]bool{"in flight elsewhere": false, "completed": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
				var runs counter
				holder := start(t.Context(), operation(t, there, idempotency.OperationOptions[string]{Name: "charge"}),
					idempotency.Call{Key: "k", Fingerprint: []byte("a")}, takes(30*time.Second, "secret", &runs))
				synctest.Wait()
				if ended {
					<-holder
				}
				charge := operation(t, here, idempotency.OperationOptions[string]{Name: "charge"})
				refund := operation(t, here, idempotency.OperationOptions[string]{Name: "refund"})
				for _, call := range []<-chan answer[string]{
					start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("again", &runs)),
					start(t.Context(), refund, key("k"), returns("again", &runs)),
				} {
					a := <-call
					wantError(t, a, idempotency.ErrFingerprintMismatch)
					if a.took != 0 || a.Replayed {
						t.Errorf("after %v, replayed %v", a.took, a.Replayed)
					}
				}
				runs.want(t, 1)
				// The identical retry, and one that doesn't say who it is, get the answer.
				wantAnswer(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("again", &runs)), "secret", true)
				wantAnswer(t, <-start(t.Context(), operation(t, here, idempotency.OperationOptions[string]{}), key("k"), returns("again", &runs)), "secret", true)
			})
		})
	}
}
