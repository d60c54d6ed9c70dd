package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// ErrUnknownOutcome is what a caller gets whose reply was lost: it is none of
// package backend's errors, so nobody knows whether the request was applied.
var ErrUnknownOutcome = errors.New("faults: the reply was lost")

// Verb is a method of a backend.
type Verb uint8

// The verbs of [backend.Backend] and [backend.Forgetter].
const (
	Claim Verb = iota + 1
	Commit
	Wait
	Fetch
	Forget
)

// String is the method's name.
func (v Verb) String() string {
	switch v {
	case Claim:
		return "Claim"
	case Commit:
		return "Commit"
	case Wait:
		return "Wait"
	case Fetch:
		return "Fetch"
	case Forget:
		return "Forget"
	default:
		return "unknown verb"
	}
}

// Call is one call of a verb. It must not be kept or changed.
type Call struct {
	Verb   Verb
	Key    string
	Claim  *backend.ClaimRequest  // nil unless Verb is Claim
	Commit *backend.CommitRequest // nil unless Verb is Commit
	Token  backend.Token          // of Claim, Commit and Wait
}

// Of makes a match for [Injector.OnNth]: the calls of one verb.
func Of(verb Verb) func(Call) bool { return func(c Call) bool { return c.Verb == verb } }

// OfEnding makes a match for [Injector.OnNth]: the commits with one ending.
func OfEnding(ending backend.Ending) func(Call) bool {
	return func(c Call) bool { return c.Commit != nil && c.Commit.Ending == ending }
}

type faultKind uint8

const (
	none faultKind = iota
	notApplied
	fail
	loseReply
	delayCall
	lateCall
	dropWakeups
)

// Fault is what an [Injector] does with one call. The zero Fault is [None].
type Fault struct {
	kind  faultKind
	delay time.Duration
	err   error
}

// The faults that need no argument.
var (
	// None calls through.
	None = Fault{}
	// NotApplied doesn't call through and returns a [backend.ErrNotApplied].
	NotApplied = Fault{kind: notApplied, err: fmt.Errorf("faults: never sent: %w", backend.ErrNotApplied)}
	// LoseReply calls through and returns [ErrUnknownOutcome] instead of what the
	// backend said.
	LoseReply = Fault{kind: loseReply, err: ErrUnknownOutcome}
	// DropWakeups makes a Wait that hears no wake-ups: it looks at the record by
	// Fetch and sleeps until the end of the lease that it saw, at most
	// [backend.MaxSleep], then looks again. That is the least that the contract
	// allows a Wait whose wake-ups are all lost. On other verbs it does nothing.
	DropWakeups = Fault{kind: dropWakeups}
)

// Fail doesn't call through and returns err as it is.
func Fail(err error) Fault { return Fault{kind: fail, err: err} }

// Delay calls through after d, or returns the ctx's error if it ends before.
func Delay(d time.Duration) Fault { return Fault{kind: delayCall, delay: d} }

// LateCall returns [ErrUnknownOutcome] at once and calls through d later, on a
// ctx that the caller can't end: the request arrives after its sender gave up. It
// is delivered earlier by [Injector.DeliverLate]; with zero or a negative d by
// that alone. A late Wait or Fetch is only lost.
func LateCall(d time.Duration) Fault {
	return Fault{kind: lateCall, delay: d, err: ErrUnknownOutcome}
}

// Injector breaks calls of the backends that it wraps. All methods may be called
// by many goroutines at once.
type Injector struct {
	pick   func(Call) Fault
	script script[Call, Fault]

	mu     sync.Mutex
	counts map[Verb]int
	closed bool
	done   chan struct{} // closed by Close
	held   map[*heldRequest]struct{}
	late   sync.WaitGroup
}

// NewInjector makes an Injector. Pick chooses what is done with a call that no
// [Injector.OnNth] claims; nil calls through. It is called by many goroutines at
// once.
func NewInjector(pick func(Call) Fault) *Injector {
	return &Injector{
		pick: pick, counts: map[Verb]int{}, done: make(chan struct{}), held: map[*heldRequest]struct{}{},
	}
}

// OnNth does fault with the nth call from now on that match is true for; n counts
// from 1, and a nil match counts every call. It acts once. Of several whose turn
// it is, the one that was asked for first acts, the others act on their next
// match.
func (i *Injector) OnNth(match func(Call) bool, n int, fault Fault) { i.script.onNth(match, n, fault) }

// Count is how often the verb was called through what this Injector wraps, the
// broken calls included.
func (i *Injector) Count(verb Verb) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.counts[verb]
}

// DeliverLate makes the calls that [LateCall] holds back, now, and returns when
// the backend has answered them.
func (i *Injector) DeliverLate() {
	i.mu.Lock()
	held := i.held
	i.held = map[*heldRequest]struct{}{}
	i.mu.Unlock()
	for h := range held {
		close(h.deliver)
	}
	for h := range held {
		<-h.done
	}
}

// Close drops the calls that are held back and returns when none is under way. It
// doesn't close what was wrapped. Closing again does nothing.
func (i *Injector) Close() error {
	i.mu.Lock()
	if !i.closed {
		i.closed = true
		close(i.done)
	}
	i.mu.Unlock()
	i.late.Wait()
	return nil
}

// Wrap returns store with its calls going through the Injector. What it returns
// is a [backend.Forgetter] and an [io.Closer] if and only if store is; its Close
// closes store.
func (i *Injector) Wrap(store backend.Backend) backend.Backend {
	w := &wrapped{injector: i, store: store, closed: make(chan struct{})}
	_, forgets := store.(backend.Forgetter)
	_, closes := store.(io.Closer)
	switch {
	case forgets && closes:
		return struct {
			*wrapped
			wrappedForgetter
			wrappedCloser
		}{w, wrappedForgetter{w}, wrappedCloser{w}}
	case forgets:
		return struct {
			*wrapped
			wrappedForgetter
		}{w, wrappedForgetter{w}}
	case closes:
		return struct {
			*wrapped
			wrappedCloser
		}{w, wrappedCloser{w}}
	default:
		return w
	}
}

func (i *Injector) choose(c Call) Fault {
	i.mu.Lock()
	i.counts[c.Verb]++
	i.mu.Unlock()
	if fault, found := i.script.pick(c); found {
		return fault
	}
	if i.pick != nil {
		return i.pick(c)
	}
	return None
}

// do runs call with the fault that is chosen for c. The call must own what it
// uses, for it may run after the caller is gone.
func (i *Injector) do(ctx context.Context, c Call, call func(context.Context) error) error {
	return i.apply(ctx, c, i.choose(c), call)
}

func (i *Injector) apply(ctx context.Context, c Call, fault Fault, call func(context.Context) error) error {
	switch fault.kind {
	case notApplied, fail:
		return fault.err
	case loseReply:
		_ = call(ctx)
		return fault.err
	case delayCall:
		timer := time.NewTimer(fault.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			return call(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	case lateCall:
		if c.Verb != Wait && c.Verb != Fetch {
			i.hold(context.WithoutCancel(ctx), fault.delay, call)
		}
		return fault.err
	default:
		return call(ctx)
	}
}

func (i *Injector) hold(ctx context.Context, delay time.Duration, call func(context.Context) error) {
	h := &heldRequest{deliver: make(chan struct{}), done: make(chan struct{})}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return
	}
	i.held[h] = struct{}{}
	i.late.Go(func() {
		defer close(h.done)
		var due <-chan time.Time
		if delay > 0 {
			timer := time.NewTimer(delay)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-h.deliver:
		case <-due:
		case <-i.done:
			return
		}
		_ = call(ctx)
	})
}

// ownClaim copies the request's slices: the caller may reuse them as soon as it
// is answered, which is before a late call is made.
func ownClaim(r backend.ClaimRequest) backend.ClaimRequest {
	r.Fingerprint, r.Metadata = slices.Clone(r.Fingerprint), slices.Clone(r.Metadata)
	return r
}

func ownCommit(r backend.CommitRequest) backend.CommitRequest {
	r.Outcome = slices.Clone(r.Outcome)
	r.Fingerprint, r.Metadata = slices.Clone(r.Fingerprint), slices.Clone(r.Metadata)
	return r
}
