package idempotency

import (
	"context"
	"sync"
	"time"
)

// endingContext is the ctx of a commit: the caller can't cancel it, but when the
// caller's ctx ends it goes on for no longer than grace, so that a call returns
// soon after its ctx also where the store is silent; the commit is then repeated
// in the background. It is watched once somebody asks for Done.
type endingContext struct {
	caller   context.Context
	deadline time.Time
	endings  *endings

	mu    sync.Mutex
	done  chan struct{}
	err   error
	after *afterEnd // what AfterFunc was given

	// Guarded by endings.mu.
	next, prev *endingContext
	end        time.Time // the deadline, or earlier where the caller's ctx has ended
	seen       bool      // by a glance
	leaving    bool      // the caller's ctx has ended
}

const (
	// grace is how long a call whose ctx has ended still waits for its commit, at
	// most: one that has been under way for as long has had its time.
	grace = 40 * time.Millisecond
	// glance is how often is looked whether the callers' ctxs have ended. No more often
	// than needed: a timer that is due within a few milliseconds makes every system call
	// that waits program the processor's clock, which costs a virtual machine a
	// microsecond and more.
	glance = 40 * time.Millisecond
)

func (e *endingContext) Deadline() (time.Time, bool) { return e.deadline, true }

// Value has the caller's values, but nothing of how the caller's ctx ends.
func (e *endingContext) Value(key any) any { return context.WithoutCancel(e.caller).Value(key) }

func (e *endingContext) Done() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = make(chan struct{})
		if e.err != nil {
			close(e.done)
		} else {
			e.endings.add(e)
		}
	}
	return e.done
}

// AfterFunc is what package context uses where there is one: it would start a
// goroutine otherwise.
func (e *endingContext) AfterFunc(f func()) (stop func() bool) {
	e.Done() // somebody waits for its end
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		go f()
		return func() bool { return false }
	}
	a := &afterEnd{f: f, next: e.after}
	e.after = a
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		waits := a.f != nil
		a.f = nil
		return waits
	}
}

// afterEnd is a function to be called at the end of a ctx, nil once it is called or
// taken back.
type afterEnd struct {
	f    func()
	next *afterEnd
}

func (e *endingContext) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// release ends the watching. Afterwards the ctx counts as ended.
func (e *endingContext) release() { e.finish(context.Canceled) }

// finish ends the ctx, unless it has ended.
func (e *endingContext) finish(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return
	}
	e.err = err
	if e.done != nil {
		e.endings.remove(e)
		close(e.done)
	}
	for a := e.after; a != nil; a = a.next {
		if a.f != nil {
			go a.f()
			a.f = nil
		}
	}
}

// endings ends the ctxs of the commits that are under way, all from one timer,
// which is stopped when there are none: most commits are over before a glance at
// them is due, and a timer and a watch on the caller's ctx for each would cost as
// much as all else that a call does.
type endings struct {
	mu    sync.Mutex // locked under that of an endingContext, never the other way
	first *endingContext
	timer *time.Timer
	wake  time.Time // zero: not armed
}

func (w *endings) add(e *endingContext) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.end = e.deadline
	e.next = w.first
	if w.first != nil {
		w.first.prev = e
	}
	w.first = e
	if w.wake.IsZero() {
		now := time.Now()
		w.arm(now, now.Add(glance))
	}
	if e.end.Before(w.wake) {
		w.arm(time.Now(), e.end)
	}
}

// remove takes a ctx out that was added, once.
func (w *endings) remove(e *endingContext) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		w.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.next, e.prev = nil, nil
	if w.first == nil && !w.wake.IsZero() {
		w.timer.Stop()
		w.wake = time.Time{}
	}
}

// arm sets the timer. Called under mu.
func (w *endings) arm(now, at time.Time) {
	w.wake = at
	if w.timer == nil {
		w.timer = time.AfterFunc(at.Sub(now), w.tick)
	} else {
		w.timer.Reset(at.Sub(now))
	}
}

// tick looks at the callers' ctxs, without the lock: they may be of anybody's
// making. It ends what is over.
func (w *endings) tick() {
	var staying []*endingContext
	w.mu.Lock()
	for e := w.first; e != nil; e = e.next {
		if !e.leaving {
			staying = append(staying, e)
		}
	}
	w.mu.Unlock()
	var left []*endingContext
	for _, e := range staying {
		if e.caller.Err() != nil {
			left = append(left, e)
		}
	}

	now := time.Now()
	w.mu.Lock()
	for _, e := range left {
		if e.leaving {
			continue // another tick was quicker
		}
		e.leaving = true
		end := now
		if !e.seen {
			end = now.Add(grace)
		}
		if end.Before(e.end) {
			e.end = end
		}
	}
	for _, e := range staying {
		e.seen = true
	}
	var over []*endingContext
	wake := now.Add(glance)
	w.wake = time.Time{}
	for e := w.first; e != nil; e = e.next {
		switch {
		case !now.Before(e.end):
			over = append(over, e)
		case e.end.Before(wake):
			wake = e.end
		}
	}
	if w.first != nil {
		w.arm(now, wake)
	}
	w.mu.Unlock()
	for _, e := range over {
		e.finish(context.DeadlineExceeded)
	}
}
