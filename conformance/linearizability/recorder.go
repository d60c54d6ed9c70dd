package linearizability

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// Recorder keeps what is asked of backends and what they answer, so that the
// history can be checked against the contract: that of a test of your own, of an
// executor, of a soak. [Check] makes one by itself. All methods may be called by
// many goroutines at once.
//
// What costs the checker most are requests of unknown outcome and calls that
// overlap: a history stays quick to check with a handful of either per key. See
// [Options.Timeout].
type Recorder struct {
	options Options
	checker checker
	clock   *clock
	order   atomic.Int64 // of all calls and returns
	known   atomic.Int64 // operations with a known outcome
	lost    atomic.Int64

	mu        sync.Mutex
	processes int
	histories map[string][]*operation
	errs      []error
}

// NewRecorder makes a Recorder of backends whose stores follow the test's clock,
// real or that of its bubble. Of the options it takes those on checking:
// Tolerance, Resends, Timeout and Dir; a field out of its bounds fails the test.
func NewRecorder(tb testing.TB, o Options) *Recorder {
	tb.Helper()
	if err := o.check(); err != nil {
		tb.Fatal(err)
	}
	return newRecorder(o.withDefaults(), newClock(nil))
}

func newRecorder(o Options, c *clock) *Recorder {
	return &Recorder{
		options: o,
		checker: checker{tolerance: o.Tolerance, timeout: o.Timeout, steps: maxSteps, resends: o.Resends}, clock: c,
		histories: map[string][]*operation{},
	}
}

// Wrap returns store with its calls recorded, as one process more. What it
// returns is a [backend.Forgetter] and an [io.Closer] if and only if store is;
// its Close closes store. Faults that are injected belong between the store and
// the Recorder, which must see what the caller sees.
func (r *Recorder) Wrap(store backend.Backend) backend.Backend {
	r.mu.Lock()
	process := r.processes
	r.processes++
	r.mu.Unlock()
	return r.wrap(store, process)
}

func (r *Recorder) wrap(store backend.Backend, process int) backend.Backend {
	w := &recorded{recorder: r, store: store, process: process}
	_, forgets := store.(backend.Forgetter)
	closer, closes := store.(io.Closer)
	switch {
	case forgets && closes:
		return struct {
			*recorded
			recordedForgetter
			io.Closer
		}{w, recordedForgetter{w}, closer}
	case forgets:
		return struct {
			*recorded
			recordedForgetter
		}{w, recordedForgetter{w}}
	case closes:
		return struct {
			*recorded
			io.Closer
		}{w, closer}
	default:
		return w
	}
}

// Verify checks what was recorded since the last Verify, each key from its
// beginning, and fails the test where it breaks the contract. Calls that haven't
// returned yet count as of unknown outcome; what they return later isn't
// checked. A key that is used after a Verify must be one that wasn't used before
// it.
func (r *Recorder) Verify(tb testing.TB) Report {
	tb.Helper()
	report := r.report()
	for _, err := range r.errors() {
		tb.Errorf("linearizability: %v", err)
	}
	for _, key := range r.keys() {
		r.checker.verdict(r.take(key)).report(tb, key, r.options, "")
	}
	report.Elapsed = r.clock.after()
	return report
}

func (r *Recorder) report() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Report{Keys: len(r.histories), Operations: int(r.known.Load() + r.lost.Load()), Unknown: int(r.lost.Load())}
}

func (r *Recorder) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]string, 0, len(r.histories))
	for key := range r.histories {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// take returns the key's history in the order of its calls, and drops it.
func (r *Recorder) take(key string) []*operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	var history []*operation
	for _, o := range r.histories[key] {
		if o.returned == 0 {
			if o.reads() {
				continue
			}
			pending := *o // the call will write on it
			o = &pending
		}
		history = append(history, o)
	}
	delete(r.histories, key)
	sortByCall(history)
	return history
}

func (r *Recorder) errors() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.errs)
}

// call makes a call and keeps it. Until it is settled, whoever looks sees it as
// one of unknown outcome.
func (r *Recorder) call(o *operation, do func() (backend.Record, error)) (backend.Record, error) {
	o.reply, o.end, o.to = lost, math.MaxInt64, forever
	o.from = r.clock.before()
	o.begin = r.order.Add(1)
	r.mu.Lock()
	r.histories[o.key] = append(r.histories[o.key], o)
	r.mu.Unlock()

	record, err := do()

	returned, returnedAt := r.order.Add(1), r.clock.after()
	own := record
	own.Fingerprint, own.Metadata, own.Outcome = slices.Clone(record.Fingerprint), slices.Clone(record.Metadata), slices.Clone(record.Outcome)
	r.mu.Lock()
	defer r.mu.Unlock()
	o.returned, o.returnedAt = returned, returnedAt
	switch counts := o.settle(own, err); {
	case !counts:
		history := r.histories[o.key]
		if at := slices.Index(history, o); at >= 0 {
			r.histories[o.key] = slices.Delete(history, at, at+1)
		}
	case o.reply == lost:
		r.lost.Add(1)
	default:
		o.end, o.to = o.returned, o.returnedAt
		r.known.Add(1)
	}
	if o.undeserved() {
		r.errs = append(r.errs, fmt.Errorf("key %q: %s through connection %d returned an error that it can't deserve: %w", o.key, o.request(names{}), o.process, err))
	}
	return record, err
}

// recorded is a backend whose calls are kept.
type recorded struct {
	recorder *Recorder
	store    backend.Backend
	process  int
}

func (w *recorded) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	kept := request
	kept.Fingerprint, kept.Metadata = slices.Clone(request.Fingerprint), slices.Clone(request.Metadata)
	o := &operation{verb: faults.Claim, key: key, process: w.process, claim: kept, token: request.Token}
	return w.recorder.call(o, func() (backend.Record, error) { return w.store.Claim(ctx, key, request) })
}

func (w *recorded) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	kept := request
	kept.Fingerprint, kept.Metadata, kept.Outcome = slices.Clone(request.Fingerprint), slices.Clone(request.Metadata), slices.Clone(request.Outcome)
	o := &operation{verb: faults.Commit, key: key, process: w.process, commit: kept, token: request.Token}
	_, err := w.recorder.call(o, func() (backend.Record, error) { return backend.Record{}, w.store.Commit(ctx, key, request) })
	return err
}

func (w *recorded) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	o := &operation{verb: faults.Wait, key: key, process: w.process, token: token}
	return w.recorder.call(o, func() (backend.Record, error) { return w.store.Wait(ctx, key, token) })
}

func (w *recorded) Fetch(ctx context.Context, key string) (backend.Record, error) {
	o := &operation{verb: faults.Fetch, key: key, process: w.process}
	return w.recorder.call(o, func() (backend.Record, error) { return w.store.Fetch(ctx, key) })
}

// recordedForgetter is the optional interface of stores that have it.
type recordedForgetter struct{ w *recorded }

func (f recordedForgetter) Forget(ctx context.Context, key string) error {
	w := f.w
	o := &operation{verb: faults.Forget, key: key, process: w.process}
	_, err := w.recorder.call(o, func() (backend.Record, error) {
		return backend.Record{}, w.store.(backend.Forgetter).Forget(ctx, key)
	})
	return err
}
