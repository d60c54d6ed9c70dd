package conformance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Durations of claims and commits whose end no rule waits for. Rules that must
// tell one duration from another use ones that lie far apart.
const (
	long      = 30 * time.Second
	keep      = time.Hour
	retention = 24 * time.Hour
	// slack is how much two durations that are hours or many seconds apart may
	// lie off.
	slack = time.Second
)

// rig is what a rule works with: a store, two connections to it, and the clock.
type rig struct {
	testing.TB
	rule    Rule
	h       Harness
	connect func() backend.Backend
	a, b    backend.Backend
	lease   time.Duration // the shortest that the store keeps
	// patience bounds what must happen at once or soon: generous, for it fails
	// the rule.
	patience time.Duration
	advanced time.Duration // what the test has moved the clock by
	hung     atomic.Bool   // a Wait didn't end
}

func newRig(tb testing.TB, h Harness, connect func() backend.Backend, a, b backend.Backend) *rig {
	tb.Helper()
	h.check(tb)
	r := &rig{TB: tb, h: h, connect: connect, a: a, b: b, lease: h.Lease, patience: h.patience}
	if r.lease == 0 {
		r.lease = 100 * time.Millisecond
	}
	if r.patience == 0 {
		r.patience = 5 * time.Second
	}
	return r
}

// failf ends the rule: what it says, what was seen instead, what to look at.
func (r *rig) failf(format string, args ...any) {
	r.Helper()
	r.Fatalf("rule %s: %s\n\tseen: %s\n\tmend: %s", r.rule.Name, r.rule.Prose, fmt.Sprintf(format, args...), r.rule.Mend)
}

// errorf is failf for other goroutines than the test's.
func (r *rig) errorf(format string, args ...any) {
	r.Helper()
	r.Errorf("rule %s: %s\n\tseen: %s\n\tmend: %s", r.rule.Name, r.rule.Prose, fmt.Sprintf(format, args...), r.rule.Mend)
}

func (r *rig) key() string { return "conformance-" + hex.EncodeToString(random(12)) }

func (r *rig) token() backend.Token { return backend.Token(random(16)) }

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// ctx bounds one call: a backend that hangs fails its rule instead of the whole
// test binary.
func (r *rig) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), r.limit())
}

// limit bounds a call: generous, and long enough for some leases to end in it.
func (r *rig) limit() time.Duration { return 4*r.patience + 8*r.lease }

// longest is a lease that outlives several of those that a rule waits for.
func (r *rig) longest() time.Duration { return max(long, 20*r.lease) }

func (r *rig) claim(s backend.Backend, key string, request backend.ClaimRequest) backend.Record {
	r.Helper()
	ctx, cancel := r.ctx()
	defer cancel()
	record, err := s.Claim(ctx, key, request)
	if err != nil {
		r.failf("Claim returned the error %v", err)
	}
	return record
}

// take claims and expects to get the key.
func (r *rig) take(s backend.Backend, key string, request backend.ClaimRequest) backend.Record {
	r.Helper()
	record := r.claim(s, key, request)
	if record.State != backend.Claimed || record.Token != request.Token {
		r.failf("the claim of a key that was there to be taken returned %s", show(record))
	}
	return record
}

func (r *rig) commit(s backend.Backend, key string, request backend.CommitRequest) {
	r.Helper()
	ctx, cancel := r.ctx()
	defer cancel()
	if err := s.Commit(ctx, key, request); err != nil {
		r.failf("Commit (%v) by the token of the record returned the error %v", request.Ending, err)
	}
}

// superseded commits and expects to be told that the key isn't the token's.
func (r *rig) superseded(s backend.Backend, key string, request backend.CommitRequest) {
	r.Helper()
	ctx, cancel := r.ctx()
	defer cancel()
	if err := s.Commit(ctx, key, request); !errors.Is(err, backend.ErrSuperseded) {
		r.failf("Commit (%v) returned %v, want an error that is ErrSuperseded", request.Ending, err)
	}
}

func (r *rig) fetch(s backend.Backend, key string) backend.Record {
	r.Helper()
	ctx, cancel := r.ctx()
	defer cancel()
	record, err := s.Fetch(ctx, key)
	if err != nil {
		r.failf("Fetch returned the error %v", err)
	}
	return record
}

// waiting is a Wait that runs in a goroutine of its own.
type waiting struct {
	rig    *rig
	cancel context.CancelFunc
	done   chan struct{}
	record backend.Record
	err    error
}

func (r *rig) startWait(s backend.Backend, key string, token backend.Token) *waiting {
	ctx, cancel := context.WithTimeout(r.Context(), r.limit())
	return r.startWaitCtx(ctx, cancel, s, key, token)
}

func (r *rig) startWaitCtx(ctx context.Context, cancel context.CancelFunc, s backend.Backend, key string, token backend.Token) *waiting {
	w := &waiting{rig: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.record, w.err = s.Wait(ctx, key, token)
	}()
	r.Cleanup(w.stop)
	return w
}

// stop ends the Wait and gives a backend that ignores its ctx up, for the first
// of the rule's Waits patiently.
func (w *waiting) stop() {
	w.cancel()
	if w.rig.hung.Load() {
		return
	}
	timer := time.NewTimer(w.rig.patience)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
		w.rig.hung.Store(true)
	}
}

// returned waits until the Wait has returned and expects a record.
func (w *waiting) returned(why string) backend.Record {
	w.rig.Helper()
	if !w.ended() {
		w.rig.failf("Wait hadn't returned %v after %s", w.rig.patience, why)
	}
	if w.err != nil {
		w.rig.failf("Wait returned the error %v after %s", w.err, why)
	}
	return w.record
}

// ended waits until the Wait has returned and reports false if it never does.
func (w *waiting) ended() bool {
	timer := time.NewTimer(w.rig.patience)
	defer timer.Stop()
	select {
	case <-w.done:
		return true
	case <-timer.C:
		return false
	}
}

// over tells whether the Wait has returned by now.
func (w *waiting) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// wait expects a Wait to return at once, though no push comes and no lease ends.
func (r *rig) wait(s backend.Backend, key string, token backend.Token) backend.Record {
	r.Helper()
	return r.startWait(s, key, token).returned("it was called")
}

// asleep gives a Wait the time to register and to fall asleep. Nothing depends on
// it: a Wait that comes later finds by looking what it was to be woken for.
func (r *rig) asleep(waits ...*waiting) {
	for range 20 {
		runtime.Gosched()
	}
	time.Sleep(min(r.lease/5, 20*time.Millisecond))
	for _, w := range waits {
		if w.over() {
			r.failf("Wait returned %s, %v while the token held the key under a live lease", show(w.record), w.err)
		}
	}
}
