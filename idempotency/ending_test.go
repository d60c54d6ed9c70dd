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

// The caller disconnects after the side effect: the answer is recorded all the
// same.
func TestCommitOutlivesTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{CommitTimeout: 7 * time.Second})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		type value struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), value{}, "seen"))
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			deadline, ok := ctx.Deadline()
			if ctx.Err() != nil || ctx.Value(value{}) != "seen" || !ok || time.Until(deadline) != 7*time.Second {
				t.Errorf("the commit's ctx: %v, value %v, deadline in %v", ctx.Err(), ctx.Value(value{}), time.Until(deadline))
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		a := <-start(ctx, charge, key("k"), func(context.Context) (string, error) { cancel(); return "paid", nil })
		wantAnswer(t, a, "paid", false)
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "paid", true)
		r.idle(p)
	})
}

// A commit whose outcome is unknown is repeated, the same each time.
func TestCommitIsRepeatedWhileUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		for _, fault := range []faults.Fault{faults.LoseReply, faults.NotApplied, faults.LateCall(time.Second), faults.LoseReply} {
			p.faults.OnNth(faults.Of(faults.Commit), 1, fault)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "paid", false)
		commits := p.log.endings(backend.Complete)
		if len(commits) != 5 {
			t.Fatalf("%d commits", len(commits))
		}
		for _, q := range commits {
			if q.token != commits[0].token || string(q.commit.Outcome) != string(commits[0].commit.Outcome) {
				t.Error("a repeated commit is another one")
			}
		}
	})
}

// After a commit of unknown outcome nothing is ever released.
func TestUnknownCommitIsNeverReleased(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: 10 * time.Second})
		silent := true
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			if silent {
				return faults.ErrUnknownOutcome
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		a := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
		var commitErr *idempotency.CommitError
		if a.Value != "paid" || a.Replayed || !errors.As(a.err, &commitErr) || !errors.Is(a.err, faults.ErrUnknownOutcome) {
			t.Errorf("got %q, %v; want the value and a CommitError that says why", a.Value, a.err)
		}
		if a.took < 9*time.Second || a.took > 10*time.Second {
			t.Errorf("gave up after %v", a.took)
		}
		r.idle(p)
		silent = false
		b := <-start(t.Context(), charge, key("k"), returns("again", &runs))
		wantAnswer(t, b, "again", false)
		if b.Attempt != 2 || b.took < 10*time.Second {
			t.Errorf("attempt %d after %v, want the second, after the lease", b.Attempt, b.took)
		}
		if n := len(p.log.endings(backend.Release)) + len(p.log.endings(backend.Abandon)); n != 0 {
			t.Errorf("%d releases", n)
		}
	})
}

// The store is silent during the commit and the caller's ctx ends: the call
// returns, the commit goes on, its lease is renewed meanwhile, and those who
// wait are answered once it is confirmed.
func TestCommitGoesOnInTheBackground(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: 3 * time.Second, CommitTimeout: time.Minute})
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			select {
			case <-time.After(20 * time.Second):
				return p.log.next.Commit(ctx, storageKey("k"), commit)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		ctx, cancel := context.WithCancel(t.Context())
		leader := start(ctx, charge, key("k"), returns("paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", &runs))
		time.Sleep(time.Second)
		cancel()
		a := <-leader
		var commitErr *idempotency.CommitError
		if a.took > time.Second+100*time.Millisecond || a.Value != "paid" || !errors.As(a.err, &commitErr) {
			t.Errorf("returned after %v with %q, %v", a.took, a.Value, a.err)
		}
		late := start(t.Context(), charge, key("k"), returns("again", &runs))
		time.Sleep(10 * time.Second)
		if record := r.fetch("k"); record.State != backend.Claimed {
			t.Errorf("the key is %v while its commit is under way", record.State)
		}
		wantAnswer(t, <-follower, "paid", true)
		wantAnswer(t, <-late, "paid", true)
		runs.want(t, 1)
		r.idle(p)
	})
}

// The same when the ctx has ended before the commit begins, and when nothing but
// the ctx of the commit ends it.
func TestSilentStoreHoldsNobody(t *testing.T) {
	errBusy := errors.New("busy")
	for name, action := range map[string]func(context.Context) (string, error){
		"complete": func(context.Context) (string, error) { return "paid", nil },
		"release":  func(context.Context) (string, error) { return "", errBusy },
		"abandon":  func(ctx context.Context) (string, error) { return "", ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(time.Hour))
				charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
				ctx, cancel := context.WithCancel(t.Context())
				a := <-start(ctx, charge, key("k"), func(ctx context.Context) (string, error) { cancel(); return action(ctx) })
				if a.took > 100*time.Millisecond {
					t.Errorf("returned after %v", a.took)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				want := map[string]backend.State{"complete": backend.Completed, "release": backend.Vacant, "abandon": backend.Abandoned}[name]
				if record := r.fetch("k"); record.State != want {
					t.Errorf("the key is %v, want %v: the ending is repeated in the background", record.State, want)
				}
				r.idle(p)
			})
		})
	}
}

func (refusing) Name() string             { return "refusing" }
func (refusing) Decode([]byte, any) error { return errors.New("refused") }

// A commit that went on in the background and was never confirmed: followers
// start over, by the record; nothing is released.
func TestCommitFailsInTheBackground(t *testing.T) {
	for name, later := range map[string]error{"refused": backend.ErrPermanent, "unknown": faults.ErrUnknownOutcome} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease, WaitTimeout: time.Hour})
				p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
					switch {
					case n == 1:
						<-ctx.Done()
						return ctx.Err()
					case commit.Attempt == 1:
						return later
					}
					return p.log.next.Commit(ctx, storageKey("k"), commit)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithCancel(t.Context())
				leader := start(ctx, charge, key("k"), returns("unconfirmed", new(counter)))
				synctest.Wait()
				follower := start(t.Context(), charge, key("k"), returns("second", new(counter)))
				synctest.Wait()
				cancel()
				if a := <-leader; a.Value != "unconfirmed" || a.err == nil {
					t.Errorf("the leader got %q, %v", a.Value, a.err)
				}
				b := <-follower
				wantAnswer(t, b, "second", false)
				if b.Attempt != 2 || len(p.log.endings(backend.Release))+len(p.log.endings(backend.Abandon)) != 0 {
					t.Errorf("attempt %d after %+v", b.Attempt, p.log.of(nil))
				}
				r.idle(p)
			})
		})
	}
}

// The action changes what the call was made from: key and fingerprint are those
// of the start.
func TestActionChangesItsInput(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		fingerprint := []byte("a")
		call := idempotency.Call{Key: "k", Fingerprint: fingerprint, Metadata: map[string]string{"account": "1"}}
		wantAnswer(t, <-start(t.Context(), charge, call, func(ctx context.Context) (string, error) {
			fingerprint[0], call.Key, call.Metadata["account"] = 'x', "other", "2"
			r.store.Forget(ctx, storageKey("k")) // what follows is written anew
			return "paid", nil
		}), "paid", false)
		a := <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("again", new(counter)))
		wantAnswer(t, a, "paid", true)
		if a.Metadata["account"] != "1" {
			t.Errorf("metadata %v", a.Metadata)
		}
		wantError(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("x")}, returns("again", new(counter))), idempotency.ErrFingerprintMismatch)
	})
}

// A clean-up that fails never replaces what the action returned.
func TestFailingReleaseHidesNothing(t *testing.T) {
	errBusy := errors.New("busy")
	for name, fault := range map[string]faults.Fault{
		"refused":   faults.Fail(fmt.Errorf("acl: %w", backend.ErrPermanent)),
		"closed":    faults.Fail(backend.ErrClosed),
		"unknown":   faults.LoseReply,
		"not heard": faults.NotApplied,
		"overtaken": faults.Fail(backend.ErrSuperseded),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				for n := range 50 {
					p.faults.OnNth(faults.Of(faults.Commit), n+1, fault)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return errors.Is(err, errBusy) }})
				own := fmt.Errorf("gateway: %w", errBusy)
				if a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) { return "", own }); a.err != own {
					t.Errorf("ignored error: got %v", a.err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				a := <-start(ctx, charge, key("l"), func(ctx context.Context) (string, error) {
					cancel()
					return "", ctx.Err()
				})
				if a.err != context.Canceled {
					t.Errorf("own ctx: got %v", a.err)
				}
				time.Sleep(time.Minute)
				r.idle(p)
			})
		})
	}
}

// A store that refuses a commit for good isn't asked again.
func TestRefusedCommit(t *testing.T) {
	for _, final := range []error{backend.ErrPermanent, backend.ErrCorrupt, backend.ErrClosed, backend.ErrInvalid} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{})
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Fail(fmt.Errorf("store: %w", final)))
			charge := operation(t, p, idempotency.OperationOptions[string]{})
			a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
			var commitErr *idempotency.CommitError
			if a.Value != "paid" || !errors.As(a.err, &commitErr) || !errors.Is(a.err, final) || a.took != 0 {
				t.Errorf("got %q, %v after %v", a.Value, a.err, a.took)
			}
			if n := len(p.log.of(nil)); n != 2 {
				t.Errorf("%d requests", n)
			}
			r.idle(p)
		})
	}
}

// An error of the call's own ctx is Abandon, not Release: the side effect may
// have happened.
func TestCutShortIsAbandoned(t *testing.T) {
	cause := errors.New("client gone")
	for name, action := range map[string]func(context.Context) error{
		"ctx.Err":       func(ctx context.Context) error { return fmt.Errorf("charge: %w", ctx.Err()) },
		"context.Cause": func(ctx context.Context) error { return fmt.Errorf("charge: %w", context.Cause(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				asked := 0
				strict := operation(t, p, idempotency.OperationOptions[string]{
					OnAbandoned: idempotency.Fail, IgnoreError: func(error) bool { asked++; return true },
				})
				rerun := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithCancelCause(t.Context())
				call := start(ctx, strict, key("k"), func(ctx context.Context) (string, error) {
					<-ctx.Done()
					return "", action(ctx)
				})
				synctest.Wait()
				follower := start(t.Context(), strict, key("k"), returns("paid", new(counter)))
				synctest.Wait()
				cancel(cause)
				if a := <-call; !errors.Is(a.err, context.Canceled) && !errors.Is(a.err, cause) || a.Replayed {
					t.Errorf("got %v", a.err)
				}
				wantError(t, <-follower, idempotency.ErrAbandoned)
				wantError(t, <-start(t.Context(), strict, key("k"), returns("paid", new(counter))), idempotency.ErrAbandoned)
				if asked != 0 {
					t.Error("IgnoreError was asked about the ctx's own error")
				}
				a := <-start(t.Context(), rerun, key("k"), returns("paid", new(counter)))
				wantAnswer(t, a, "paid", false)
				if n := len(p.log.endings(backend.Release)); n != 0 || a.Attempt != 2 {
					t.Errorf("%d releases, attempt %d", n, a.Attempt)
				}
				r.idle(p)
			})
		})
	}
}

// The same error while the ctx is alive is an outcome like others.
func TestForeignCtxErrorIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		action := func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return "", ctx.Err()
		}
		if a := <-start(t.Context(), charge, key("k"), action); a.err != context.DeadlineExceeded {
			t.Errorf("got %v", a.err)
		}
		if state := r.fetch("k").State; state != backend.Completed {
			t.Errorf("the key is %v", state)
		}
	})
}
