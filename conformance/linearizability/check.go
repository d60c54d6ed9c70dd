package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
)

// Report says how much was checked.
type Report struct {
	Seed       uint64
	Keys       int
	Operations int // calls that count, of known and unknown outcome
	Unknown    int // of those, the ones of unknown outcome
	// Elapsed is the time of the test's clock, or the store's where the harness
	// moves it, from the first call to the verdict.
	Elapsed time.Duration
}

// String is the report in one line.
func (r Report) String() string {
	return fmt.Sprintf("seed %d: %d histories, %d operations, %d of unknown outcome, in %v",
		r.Seed, r.Keys, r.Operations, r.Unknown, r.Elapsed.Round(time.Microsecond))
}

// Check works on keys of a fresh store through several connected backends, from
// many goroutines and under faults, and fails the test if what they answered
// agrees with the contract in no order. It stops at the first history that is
// illegal, and says which of its operations can't be explained.
//
// Of the harness it uses Open, Advance and Lease: shorter leases make more of
// them end in less time. It may be called in a bubble of testing/synctest, where
// a store that follows the bubble's clock takes no time to wait for; the Advance
// of such a store may be time.Sleep or nil.
func Check(tb testing.TB, h conformance.Harness, o Options) Report {
	tb.Helper()
	if err := o.check(); err != nil {
		tb.Fatal(err)
	}
	if h.Open == nil {
		tb.Fatal("linearizability: Harness.Open is nil: it is how the check gets a store")
	}
	if o.Seed == 0 {
		o.Seed = seedOf(tb)
	}
	o = o.withDefaults()
	r := newRun(tb, h, o)
	tb.Logf("linearizability: seed %d", o.Seed)

	r.do(tb.Context())

	report := r.recorder.report()
	report.Seed, report.Elapsed = o.Seed, r.clock.after()
	report.Keys = int(r.begun.Load())
	again := fmt.Sprintf("Options.Seed or %s = %d", seedVariable, o.Seed)
	for _, err := range r.recorder.errors() {
		tb.Errorf("linearizability: %v\n\tagain: %s", err, again)
	}
	if len(r.failures) > 0 {
		f := r.failures[0]
		if more := len(r.failures) - 1; more > 0 {
			again += fmt.Sprintf("\n\tand %d histories more, made at the same time, failed", more)
		}
		f.verdict.report(tb, f.key, o, again)
	}
	return report
}

func newRun(tb testing.TB, h conformance.Harness, o Options) *run {
	connect := h.Open(tb)
	r := &run{options: o, lease: h.Lease, clock: newClock(h.Advance)}
	or(&r.lease, 100*time.Millisecond)
	r.recorder = newRecorder(o, r.clock)
	for range o.Processes {
		r.processes = append(r.processes, connect())
	}
	return r
}

// seedOf is the seed where the options have none.
func seedOf(tb testing.TB) uint64 {
	text := os.Getenv(seedVariable)
	if text == "" {
		return rand.Uint64() | 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seed == 0 {
		tb.Fatalf("linearizability: %s is %q, want a positive number", seedVariable, text)
	}
	return seed
}

// run is one Check.
type run struct {
	options   Options
	lease     time.Duration
	clock     *clock
	recorder  *Recorder
	processes []backend.Backend
	begun     atomic.Int64 // keys

	mu       sync.Mutex
	failures []failure
	checked  func(*verdict) // of tests; may be nil
}

type failure struct {
	key     string
	verdict *verdict
}

// do makes histories and checks each as soon as it is made.
func (r *run) do(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	started := time.Now()
	more := func() bool {
		if ctx.Err() != nil {
			return false
		}
		if r.options.Duration > 0 {
			return time.Since(started) < r.options.Duration
		}
		return true
	}
	var during, keys sync.WaitGroup
	if r.options.During != nil {
		during.Go(func() { r.options.During(ctx) })
	}
	for range r.options.Parallel {
		keys.Go(func() {
			for more() {
				n := r.begun.Add(1)
				if r.options.Duration == 0 && n > int64(r.options.Keys) {
					r.begun.Add(-1)
					return
				}
				if !r.one(ctx, n) {
					stop()
				}
			}
		})
	}
	r.pass(&keys)
	stop()
	during.Wait()
}

// pass moves the store's clock until the keys are done.
func (r *run) pass(keys *sync.WaitGroup) {
	if r.clock.advance == nil {
		keys.Wait()
		return
	}
	done := make(chan struct{})
	go func() {
		keys.Wait()
		close(done)
	}()
	random := rand.New(rand.NewPCG(r.options.Seed, 0))
	for {
		pause := time.NewTimer(200 * time.Microsecond)
		select {
		case <-done:
			pause.Stop()
			return
		case <-pause.C:
			r.clock.move(time.Millisecond + time.Duration(random.Int64N(int64(r.lease/10))))
		}
	}
}

// one makes and checks the nth key's history. It reports false if it isn't legal.
func (r *run) one(ctx context.Context, n int64) bool {
	key := fmt.Sprintf("linearizability-%d-%d", r.options.Seed, n)
	newStory(r, key, uint64(n)).play(ctx)
	if ctx.Err() != nil {
		return true // cut short by another's failure
	}
	v := r.recorder.checker.verdict(r.recorder.take(key))
	if r.checked != nil {
		r.mu.Lock()
		r.checked(v)
		r.mu.Unlock()
	}
	if v.result == porcupine.Ok {
		return len(r.recorder.errors()) == 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, failure{key, v})
	return false
}
