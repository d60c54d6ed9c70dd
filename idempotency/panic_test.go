package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

func explode(v any) { panic(v) }

func wantPanicReplay(t *testing.T, a answer[string], text string) {
	t.Helper()
	var replayed *idempotency.ReplayedError
	var panicked *idempotency.PanicError
	if a.panicked != nil || !errors.As(a.err, &replayed) || !errors.As(a.err, &panicked) || !a.Replayed || a.err.Error() != "panic: "+text {
		t.Errorf("got %v, panic %v; want a replayed PanicError", a.err, a.panicked)
	}
}

// A panic is recorded, and panics on in the caller whose action it was, with its
// value and its stack. Everybody else gets it as an error.
func TestPanicIsRecordedAndGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		value := fmt.Errorf("boom")
		leader := start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(time.Second)
			explode(value)
			return "", nil
		})
		synctest.Wait()
		var followers []<-chan answer[string]
		for range 100 {
			followers = append(followers, start(t.Context(), charge, key("k"), returns("again", new(counter))))
		}
		if a := <-leader; a.panicked != value {
			t.Errorf("the leader panicked with %v, returned %v", a.panicked, a.err)
		}
		for _, follower := range followers {
			wantPanicReplay(t, <-follower, "boom")
		}
		wantPanicReplay(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "boom")
		r.idle(p)
	})
}

// The stack that the process dies with names the line that panicked: the action
// ran in the caller's goroutine, and PanicError.Stack is taken there.
func TestPanicKeepsItsStack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		var stack string
		charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool {
			var panicked *idempotency.PanicError
			if !errors.As(err, &panicked) || panicked.Value != "boom" {
				t.Errorf("IgnoreError was asked about %v", err)
			} else {
				stack = string(panicked.Stack)
			}
			return true
		}})
		a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) { explode("boom"); return "", nil })
		if a.panicked != "boom" {
			t.Errorf("panicked with %v", a.panicked)
		}
		if !strings.Contains(stack, "idempotency_test.explode") {
			t.Errorf("the stack doesn't show what panicked:\n%s", stack)
		}
		// IgnoreError has opted out: the key runs again.
		b := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, b, "paid", false)
		if b.Attempt != 2 || len(p.log.endings(backend.Release)) != 1 {
			t.Errorf("attempt %d, %d releases", b.Attempt, len(p.log.endings(backend.Release)))
		}
		r.idle(p)
	})
}

// runtime.Goexit (t.FailNow, for example) ends the caller's goroutine. Nobody
// knows what was done; followers don't hang.
func TestGoexitIsAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		strict := operation(t, p, idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail})
		var runs counter
		leader := start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(time.Second)
			goexit()
			return "", nil
		})
		synctest.Wait()
		cautious := start(t.Context(), strict, key("k"), returns("paid", &runs))
		follower := start(t.Context(), charge, key("k"), takes(time.Second, "paid", &runs))
		if a := <-leader; a.err != errGoexit || a.panicked != nil {
			t.Errorf("the leader's goroutine went on: %v, %v", a.err, a.panicked)
		}
		// Whoever looks first: the one that fails finds an abandoned key, or it
		// waits for the one that runs again.
		if a := <-cautious; !errors.Is(a.err, idempotency.ErrAbandoned) && a.Value != "paid" {
			t.Errorf("got %q, %v", a.Value, a.err)
		}
		a := <-follower
		wantAnswer(t, a, "paid", false)
		if a.Attempt != 2 || len(p.log.endings(backend.Abandon)) != 1 || len(p.log.endings(backend.Release)) != 0 {
			t.Errorf("attempt %d after %+v", a.Attempt, p.log.of(nil))
		}
		runs.want(t, 1)
		r.idle(p)
	})
}

// The action panicked, its caller's ctx is over and the store is silent. The
// panic goes on; so does the commit. Nothing else is sent: the commit may have
// been applied.
func TestPanicWhileTheStoreIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(time.Hour))
		p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(3*time.Second))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithCancel(t.Context())
		leader := start(ctx, charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(time.Second)
			cancel()
			explode("boom")
			return "", nil
		})
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", new(counter)))
		if a := <-leader; a.panicked != "boom" || a.took > time.Second+100*time.Millisecond {
			t.Errorf("panicked with %v after %v", a.panicked, a.took)
		}
		wantPanicReplay(t, <-follower, "boom")
		r.idle(p)
		if n := len(p.log.endings(backend.Abandon)) + len(p.log.endings(backend.Release)); n != 0 {
			t.Errorf("%d releases after a commit of unknown outcome", n)
		}
		if n := len(p.log.takings()); n != 1 {
			t.Errorf("%d claims: the follower didn't wait for the commit", n)
		}
	})
}

func TestGoexitWhileTheStoreIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(time.Hour))
		p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(3*time.Second))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithCancel(t.Context())
		leader := start(ctx, charge, key("k"), func(context.Context) (string, error) {
			time.Sleep(time.Second)
			cancel()
			goexit()
			return "", nil
		})
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", new(counter)))
		if a := <-leader; a.err != errGoexit {
			t.Errorf("the leader returned %v", a.err)
		}
		wantAnswer(t, <-follower, "again", false)
		r.idle(p)
		for _, q := range p.log.endings(backend.Abandon) {
			if q.token != p.log.takings()[0].token {
				t.Error("the wrong claim was abandoned")
			}
		}
		if n := len(p.log.endings(backend.Abandon)); n != 2 {
			t.Errorf("%d requests to abandon, want the one that got lost and its repetition", n)
		}
	})
}

// panicking is an observer that panics at the end of the first step of a kind.
type panicking struct {
	kind    idempotency.StepKind
	atStart bool // or at its start
	met     atomic.Bool
}

func (p *panicking) StepStart(ctx context.Context, step *idempotency.Step) context.Context {
	if p.atStart {
		p.StepEnd(ctx, step)
	}
	return ctx
}
func (p *panicking) StepEnd(_ context.Context, step *idempotency.Step) {
	if step.Kind == p.kind && p.met.CompareAndSwap(false, true) {
		panic("observer")
	}
}

// A panic in a function of the user's around the action leaves neither followers
// nor a claim behind.
func TestPanicAroundTheAction(t *testing.T) {
	type options struct {
		executor  idempotency.Options
		operation idempotency.OperationOptions[string]
	}
	once := func(f func()) func() {
		done := false
		return func() {
			if !done {
				done = true
				f()
			}
		}
	}
	for name, o := range map[string]func(f func()) options{
		"IgnoreError": func(f func()) options {
			return options{operation: idempotency.OperationOptions[string]{IgnoreError: func(error) bool { f(); return false }}}
		},
		"RetentionFor": func(f func()) options {
			return options{operation: idempotency.OperationOptions[string]{RetentionFor: func(string, error) idempotency.RetentionChoice {
				f()
				return idempotency.Default
			}}}
		},
		"observer of the claim": func(func()) options {
			return options{executor: idempotency.Options{Observer: &panicking{kind: idempotency.StepClaim}}}
		},
		"observer of the action": func(func()) options {
			return options{executor: idempotency.Options{Observer: &panicking{kind: idempotency.StepAction}}}
		},
	} {
		for how, f := range map[string]func(){"panics": func() { panic("policy") }, "exits": goexit} {
			t.Run(name+" "+how, func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					made := o(once(f))
					p := r.process(made.executor)
					charge := operation(t, p, made.operation)
					var runs counter
					action := func(context.Context) (string, error) {
						runs.add()
						time.Sleep(time.Second)
						if runs.count() == 1 {
							return "", errors.New("first")
						}
						return "paid", nil
					}
					leader := start(t.Context(), charge, key("k"), action)
					follower := start(t.Context(), charge, key("k"), action)
					a, b := <-leader, <-follower
					if a.panicked == nil && a.err != errGoexit {
						a, b = b, a
					}
					if a.panicked == nil && a.err != errGoexit {
						t.Errorf("neither call met the panic: %v, %v", a.err, b.err)
					}
					if strings.HasPrefix(name, "observer of the action") {
						// The action itself is recorded as panicked.
						wantPanicReplay(t, b, "observer")
					} else if b.err != nil && b.err.Error() != "first" {
						t.Errorf("the other got %q, %v", b.Value, b.err)
					}
					r.idle(p)
					if state := r.fetch("k").State; state != backend.Completed {
						t.Errorf("the key is %v", state)
					}
				})
			})
		}
	}
}

// A panic while the ending is on its way must not send another one.
func TestPanickingObserverOfTheCommit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Observer: &panicking{kind: idempotency.StepCommit}})
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			return fmt.Errorf("store: %w", backend.ErrPermanent)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		call := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		if a := <-call; a.panicked != "observer" {
			t.Errorf("panicked with %v", a.panicked)
		}
		r.idle(p)
		if n := len(p.log.of(nil)); n != 2 {
			t.Errorf("%d requests, want a claim and a commit", n)
		}
	})
}

// A follower whose observer panics leaves its flight like any other.
func TestPanickingFollower(t *testing.T) {
	for name, atStart := range map[string]bool{"at the start of its wait": true, "at the end of its wait": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Observer: &panicking{kind: idempotency.StepWait, atStart: atStart}})
				p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				short, stop := context.WithTimeout(t.Context(), time.Second)
				defer stop()
				leader := start(ctx, charge, key("k"), returns("paid", new(counter)))
				synctest.Wait()
				if a := <-start(short, charge, key("k"), returns("paid", new(counter))); a.panicked != "observer" {
					t.Errorf("got %v, %v", a.err, a.panicked)
				}
				wantError(t, <-leader, context.DeadlineExceeded)
				r.idle(p)
				if n := len(p.log.endings(backend.Release)); n != 1 {
					t.Errorf("%d releases, want that of the last who left", n)
				}
			})
		})
	}
}

// A follower that panics with the baton in its hand passes it on.
func TestPanicWithTheBaton(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Observer: &panicking{kind: idempotency.StepWait}})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		leader := start(ctx, charge, key("k"), returns("paid", new(counter)))
		synctest.Wait()
		var runs counter
		a, b := start(t.Context(), charge, key("k"), returns("paid", &runs)), start(t.Context(), charge, key("k"), returns("paid", &runs))
		wantError(t, <-leader, context.DeadlineExceeded)
		x, y := <-a, <-b
		if x.panicked == nil {
			x, y = y, x
		}
		if x.panicked != "observer" {
			t.Errorf("neither panicked: %v, %v", x.err, y.err)
		}
		wantAnswer(t, y, "paid", false)
		runs.want(t, 1)
		r.idle(p)
	})
}

// A leader that has passed the baton and panics afterwards has nothing to clean
// up any more: the flight is another's.
func TestPanicAfterTheBaton(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Observer: &panicking{kind: idempotency.StepWait}})
		r.claimBy(backend.Token{1}, "k", time.Hour)
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		leader := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: 5 * time.Second}, returns("paid", new(counter)))
		synctest.Wait()
		var runs counter
		next := start(t.Context(), charge, key("k"), takes(time.Second, "paid", &runs))
		if a := <-leader; a.panicked != "observer" {
			t.Errorf("got %v, %v", a.err, a.panicked)
		}
		late := start(t.Context(), charge, key("k"), takes(time.Second, "paid", &runs))
		time.Sleep(time.Second)
		r.endBy(backend.Token{1}, "k", backend.Release)
		a, b := <-next, <-late
		wantAnswer(t, a, "paid", false)
		wantAnswer(t, b, "paid", true)
		if n := len(p.log.takings()); n != 2 {
			t.Errorf("%d claims: the flight was broken up", n)
		}
		r.idle(p)
	})
}
