package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// recorder is an observer that keeps every ended step, and puts a carrier into
// every claim.
type recorder struct {
	mu      sync.Mutex
	steps   []idempotency.Step
	open    int
	foreign int // steps that were ended with another ctx than theirs
	carrier []byte
}

type stepPath struct{}

func (r *recorder) StepStart(ctx context.Context, step *idempotency.Step) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	if step.Kind == idempotency.StepClaim {
		step.Carrier = r.carrier
	}
	path, _ := ctx.Value(stepPath{}).(string)
	return context.WithValue(context.WithValue(ctx, stepPath{}, path+"/"+step.Kind.String()), started{}, step)
}

type started struct{}

func (r *recorder) StepEnd(ctx context.Context, step *idempotency.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	if ctx.Value(started{}) != step {
		r.foreign++
	}
	r.steps = append(r.steps, *step)
}

// take returns the steps of a kind that have ended, and forgets all.
func (r *recorder) take(t *testing.T) (kinds []string, run idempotency.Step) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open != 0 {
		t.Errorf("%d steps were started and not ended", r.open)
	}
	if r.foreign != 0 {
		t.Errorf("%d steps were ended with another ctx than theirs", r.foreign)
	}
	for _, step := range r.steps {
		kinds = append(kinds, step.Kind.String())
		if step.Kind == idempotency.StepRun {
			run = step
		}
	}
	r.steps = nil
	return kinds, run
}

func TestObserverSeesTheStepsOfACall(t *testing.T) {
	store := newStore(t)
	observer := &recorder{carrier: []byte("span-1")}
	x := newExecutor(t, store, idempotency.Options{Namespace: "ns", Observer: observer})
	o := newOperation(t, x, idempotency.OperationOptions[int]{Name: "charge"})
	var path string
	_, err := o.Run(t.Context(), "k", func(ctx context.Context) (int, error) {
		path, _ = ctx.Value(stepPath{}).(string)
		return 1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if path != "/run/action" {
		t.Errorf("the action's ctx is that of %q, want /run/action", path)
	}
	kinds, run := observer.take(t)
	if want := []string{"claim", "action", "commit", "run"}; !slices.Equal(kinds, want) {
		t.Errorf("steps %q, want %q", kinds, want)
	}
	if run.Outcome != idempotency.Executed || run.Attempt != 1 || run.Fence == 0 || run.Namespace != "ns" || run.Operation != "charge" || run.Key != "k" {
		t.Errorf("run: %+v", run)
	}

	// A day later and in another process: the replay knows the execution's carrier.
	observer2 := &recorder{carrier: []byte("span-2")}
	x2 := newExecutor(t, store, idempotency.Options{Namespace: "ns", Observer: observer2})
	o2 := newOperation(t, x2, idempotency.OperationOptions[int]{Name: "charge"})
	o2.Run(t.Context(), "k", mustNotRun[int](t))
	kinds, run = observer2.take(t)
	if want := []string{"claim", "run"}; !slices.Equal(kinds, want) {
		t.Errorf("steps %q, want %q", kinds, want)
	}
	if run.Outcome != idempotency.Replayed || string(run.Origin) != "span-1" || run.Attempt != 1 {
		t.Errorf("run: %+v", run)
	}
}

func TestObserverSeesJoinedAndWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		here := &recorder{carrier: []byte("here")}
		there := &recorder{carrier: []byte("there")}
		x := newExecutor(t, store, idempotency.Options{Observer: here})
		y := newExecutor(t, store, idempotency.Options{Observer: there})
		run := func(x *idempotency.Executor) {
			idempotency.Run(t.Context(), x, "k", func(context.Context) (int, error) {
				time.Sleep(time.Second)
				return 1, nil
			})
		}
		var wg sync.WaitGroup
		wg.Go(func() { run(x) })
		synctest.Wait()
		wg.Go(func() { run(x) })
		wg.Go(func() { run(y) })
		wg.Wait()
		outcomes := map[idempotency.Outcome]idempotency.Step{}
		for _, r := range []*recorder{here, there} {
			for _, step := range r.steps {
				if step.Kind == idempotency.StepRun {
					outcomes[step.Outcome] = step
				}
			}
			r.take(t)
		}
		for _, outcome := range []idempotency.Outcome{idempotency.Joined, idempotency.Waited} {
			step, ok := outcomes[outcome]
			if !ok || string(step.Origin) != "here" || step.Waited != time.Second {
				t.Errorf("%v: %+v", outcome, step)
			}
		}
	})
}

func TestObserverStepsAreAlwaysEnded(t *testing.T) {
	observer := &recorder{carrier: bytes.Repeat([]byte("c"), idempotency.MaxCarrier+1)}
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{Observer: observer})
	o := newOperation(t, x, idempotency.OperationOptions[int]{
		IgnoreError: func(err error) bool { return err.Error() == "ignored" },
	})
	func() {
		defer func() { recover() }()
		o.Run(t.Context(), "panics", func(context.Context) (int, error) { panic("x") })
	}()
	if kinds, run := observer.take(t); !slices.Contains(kinds, "action") || run.Err == nil {
		t.Errorf("panic: %q %+v", kinds, run)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		o.Run(t.Context(), "exits", func(context.Context) (int, error) { goexit(); return 0, nil })
	})
	wg.Wait()
	if kinds, _ := observer.take(t); !slices.Contains(kinds, "run") {
		t.Errorf("Goexit: %q", kinds)
	}
	o.Run(t.Context(), "ignored", (&answers[int]{err: errors.New("ignored")}).run)
	for _, step := range observer.steps {
		if step.Kind == idempotency.StepCommit && step.Ending != backend.Release {
			t.Errorf("commit: %+v", step)
		}
	}
	observer.take(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.Run(ctx, "cut", func(ctx context.Context) (int, error) { cancel(); return 0, ctx.Err() })
	for _, step := range observer.steps {
		if step.Kind == idempotency.StepCommit && step.Ending != backend.Abandon {
			t.Errorf("commit: %+v", step)
		}
	}
	observer.take(t)
	// The carrier was too long, so there is none; nothing else changes.
	o.Run(t.Context(), "long", (&answers[int]{}).run)
	observer.take(t)
	o.Run(t.Context(), "long", mustNotRun[int](t))
	if _, run := observer.take(t); len(run.Origin) != 0 || run.Outcome != idempotency.Replayed {
		t.Errorf("%+v", run)
	}
}

func TestObserverOutcomes(t *testing.T) {
	observer := &recorder{}
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{Observer: observer})
	a := newOperation(t, x, idempotency.OperationOptions[int]{Name: "a", OnAbandoned: idempotency.Fail})
	b := newOperation(t, x, idempotency.OperationOptions[int]{Name: "b"})
	run := func(o *idempotency.Operation[int], key string, action func(context.Context) (int, error)) string {
		o.Run(t.Context(), key, action)
		_, run := observer.take(t)
		return fmt.Sprint(run.Outcome, " ", run.Err)
	}
	ok := (&answers[int]{}).run
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	a.Run(t.Context(), "abandoned", func(ctx context.Context) (int, error) {
		inGoroutine(func() { a.Run(t.Context(), "cut", func(context.Context) (int, error) { goexit(); return 0, nil }) })
		return 0, nil
	})
	observer.take(t)
	for _, test := range []struct{ got, want string }{
		{run(a, "k", ok), "executed <nil>"},
		{run(a, "k", ok), "replayed <nil>"},
		{run(b, "k", ok), "refused"},
		{run(a, "cut", ok), "abandoned"},
		{func() string {
			a.Run(ended, "k2", ok)
			_, run := observer.take(t)
			return run.Outcome.String()
		}(), "failed"},
	} {
		if !strings.HasPrefix(test.got, test.want) {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// A call that doesn't get an answer still knows whose call was in its way.
func TestObserverSeesWhoWasInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		there := newExecutor(t, store, idempotency.Options{Lease: time.Second, Observer: &recorder{carrier: []byte("there")}})
		observer := &recorder{carrier: []byte("here")}
		here := newExecutor(t, store, idempotency.Options{Lease: time.Second, Observer: observer})
		o := newOperation(t, here, idempotency.OperationOptions[int]{})
		fail := newOperation(t, here, idempotency.OperationOptions[int]{OnAbandoned: idempotency.Fail})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			idempotency.Exec(ctx, there, "k", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		}()
		synctest.Wait()
		last := func(kind idempotency.StepKind) (last idempotency.Step) {
			for _, step := range observer.steps {
				if step.Kind == kind {
					last = step
				}
			}
			observer.take(t)
			return last
		}
		for name, call := range map[string]idempotency.Call{
			"no wait": {Key: "k", NoWait: true},
			"timeout": {Key: "k", WaitTimeout: 5 * time.Second},
		} {
			o.Do(t.Context(), call, mustNotRun[int](t))
			if run := last(idempotency.StepRun); string(run.Origin) != "there" || run.Outcome != idempotency.Refused {
				t.Errorf("%s: %+v", name, run)
			}
		}
		cancel()
		<-done
		fail.Run(t.Context(), "k", mustNotRun[int](t))
		if run := last(idempotency.StepRun); string(run.Origin) != "there" || run.Outcome != idempotency.GaveUp {
			t.Errorf("abandoned: %+v", run)
		}
		o.Run(t.Context(), "k", (&answers[int]{}).run)
		if claim := last(idempotency.StepClaim); string(claim.Origin) != "there" || !claim.Takeover {
			t.Errorf("takeover: %+v", claim)
		}
	})
}
