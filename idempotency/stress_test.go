package idempotency_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

var stressRuns = flag.Int("stress", 20, "how many random histories TestStress makes")

// TestStress lets several processes call a few keys through connections that
// lose, delay and deliver late, with short leases and callers that leave, and
// holds what the library promises against every history.
func TestStress(t *testing.T) {
	runs := *stressRuns
	if testing.Short() {
		runs = min(runs, 3)
	}
	for range runs {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { bubble(t, func(t *testing.T, r *rig) { (&history{t: t, rig: r}).run(seed) }) })
	}
}

const stressLease = 100 * time.Millisecond

// history is what happened to the keys, seen from outside.
type history struct {
	t   *testing.T
	rig *rig

	mu      sync.Mutex
	random  *rand.Rand
	running map[string]map[*run]struct{}
	fences  map[string]uint64
	runs    map[string]int
	answers map[string]map[string]int // key -> what calls got without doubt -> how often
}

type stressOperation struct {
	*idempotency.Operation[string]
	detached bool
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// run is one run of an action.
type run struct {
	ctx   context.Context
	fence uint64
}

func (h *history) intN(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.random.IntN(n)
}

func (h *history) upTo(d time.Duration) time.Duration { return time.Duration(h.intN(int(d))) + 1 }

func (h *history) fault(c faults.Call) faults.Fault {
	switch h.intN(16) {
	case 0:
		return faults.LoseReply
	case 1:
		return faults.NotApplied
	case 2:
		return faults.LateCall(h.upTo(3 * stressLease))
	case 3:
		return faults.Delay(h.upTo(2 * stressLease))
	case 4:
		return faults.DropWakeups
	}
	return faults.None
}

var errStressBusy, errStressDeclined = errors.New("busy"), errors.New("declined")

func (h *history) run(seed uint64) {
	t := h.t
	h.random = rand.New(rand.NewPCG(seed, 1))
	h.running, h.fences, h.runs, h.answers = map[string]map[*run]struct{}{}, map[string]uint64{}, map[string]int{}, map[string]map[string]int{}

	var processes []*process
	var operations []stressOperation
	for range 3 {
		p := h.rig.process(idempotency.Options{Lease: stressLease, CommitTimeout: 5 * stressLease, WaitTimeout: 8 * stressLease})
		injector := faults.NewInjector(h.fault)
		t.Cleanup(func() { injector.Close() })
		p.log.next = injector.Wrap(h.rig.store)
		processes = append(processes, p)
		ignore := func(err error) bool { return errors.Is(err, errStressBusy) }
		operations = append(operations,
			stressOperation{operation(t, p, idempotency.OperationOptions[string]{IgnoreError: ignore}), false},
			stressOperation{operation(t, p, idempotency.OperationOptions[string]{IgnoreError: ignore, Detach: true}), true},
			stressOperation{operation(t, p, idempotency.OperationOptions[string]{IgnoreError: ignore, Reconcile: h.reconcile}), false})
	}
	var calls sync.WaitGroup
	for i := range 400 {
		// A few keys at a time, and always some that have no answer yet.
		key, o := fmt.Sprint("k", i/12+h.intN(4)), operations[h.intN(len(operations))]
		calls.Go(func() { h.call(o, key) })
		time.Sleep(h.upTo(stressLease / 10))
	}
	calls.Wait()
	for _, p := range processes {
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(10 * stressLease) // what is delivered late
	h.rig.idle(processes...)
	h.check()
}

// call makes one call and notes what it got.
func (h *history) call(o stressOperation, key string) {
	ctx, cancel := h.rig.t.Context(), context.CancelFunc(func() {})
	limit := time.Duration(0)
	if h.intN(2) == 0 {
		limit = h.upTo(6 * stressLease)
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	left := time.Now().Add(limit)
	defer func() {
		recover() // its own panic: whether that was recorded, only others can tell
		if over := time.Since(left); limit > 0 && over > 100*time.Millisecond {
			h.t.Errorf("%s: returned %v after its ctx and its action had ended", key, over)
		}
	}()
	result, err := o.Do(ctx, idempotency.Call{Key: key, NoWait: h.intN(10) == 0}, func(ctx context.Context) (string, error) {
		if !o.detached {
			defer func() { left = latest(left, time.Now()) }()
		}
		return h.act(ctx, key)
	})
	var commitErr *idempotency.CommitError
	var replayed *idempotency.ReplayedError
	switch {
	case errors.As(err, &commitErr):
	case err == nil:
		h.note(key, result.Value)
	case result.Value != "":
		h.t.Errorf("%s: value %q beside %v", key, result.Value, err)
	case errors.As(err, &replayed):
		h.note(key, err.Error())
	case errors.Is(err, errStressDeclined):
		h.note(key, err.Error())
	}
}

// act is the action: it checks that it is alone, takes a while, and ends in one
// way or another.
func (h *history) act(ctx context.Context, key string) (string, error) {
	execution, _ := idempotency.ExecutionOf(ctx)
	me := &run{ctx: ctx, fence: execution.Fence}
	h.mu.Lock()
	if execution.Fence <= h.fences[key] {
		h.t.Errorf("%s: fence %d after %d", key, execution.Fence, h.fences[key])
	}
	h.fences[key] = execution.Fence
	for other := range h.running[key] {
		if other.ctx.Err() == nil && ctx.Err() == nil {
			h.t.Errorf("%s: fences %d and %d run at the same time, and both believe in their lease", key, other.fence, me.fence)
		}
	}
	if h.running[key] == nil {
		h.running[key] = map[*run]struct{}{}
	}
	h.running[key][me] = struct{}{}
	h.runs[key]++
	name := fmt.Sprintf("%s run %d", key, h.runs[key])
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.running[key], me)
		h.mu.Unlock()
	}()
	timer := time.NewTimer(h.upTo(3 * stressLease))
	defer timer.Stop()
	stubborn := h.intN(3) == 0
	select {
	case <-timer.C:
	case <-ctx.Done():
		if !stubborn {
			return "", ctx.Err()
		}
		<-timer.C
	}
	switch h.intN(10) {
	case 0, 1, 2:
		return "", fmt.Errorf("%s: %w", name, errStressBusy)
	case 3:
		return "", fmt.Errorf("%s: %w", name, errStressDeclined)
	case 4:
		panic(name)
	case 5:
		if h.intN(2) == 0 {
			goexit()
		}
	}
	return name, nil
}

func (h *history) reconcile(ctx context.Context, abandoned idempotency.Abandoned) (decision, error) {
	select {
	case <-time.After(h.upTo(stressLease)):
	case <-ctx.Done():
		return decision{}, ctx.Err()
	}
	switch h.intN(4) {
	case 0:
		return idempotency.Answer(fmt.Sprintf("%s found after %d", abandoned.Key, abandoned.Fence), nil), nil
	case 1:
		return idempotency.Unknown[string](), nil
	case 2:
		return decision{}, errDown
	}
	return idempotency.RunAgain[string](), nil
}

func (h *history) note(key, answer string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers[key] == nil {
		h.answers[key] = map[string]int{}
	}
	h.answers[key][answer]++
}

// check holds the end of the history against what the calls were told.
func (h *history) check() {
	// Asked by a process whose connection is sound, the store has the last word.
	sound := operation(h.t, h.rig.process(idempotency.Options{Lease: stressLease}), idempotency.OperationOptions[string]{OnAbandoned: idempotency.Fail})
	for key, answers := range h.answers {
		if len(answers) > 1 {
			h.t.Errorf("%s: calls were given %d different answers: %v", key, len(answers), answers)
		}
		state := h.rig.fetch(key).State
		result, err := sound.Do(h.rig.t.Context(), idempotency.Call{Key: key}, func(context.Context) (string, error) {
			h.t.Errorf("%s: runs again although it was answered", key)
			return "", nil
		})
		recorded := result.Value
		if err != nil {
			recorded = err.Error()
		}
		for answer := range answers {
			if state != backend.Completed || strings.TrimPrefix(recorded, "panic: ") != strings.TrimPrefix(answer, "panic: ") {
				h.t.Errorf("%s: answered %q, but recorded is %q (%v)", key, answer, recorded, state)
			}
		}
	}
	synctest.Wait()
}
