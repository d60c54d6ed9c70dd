package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency/consumer"
)

// books are what the events change. They stand for a database that isn't
// idempotent: every call counts.
type books struct {
	mu      sync.Mutex
	entries map[string]int // event: how often it was booked
	charges map[string]entry
	builds  map[string]int // commit: how often it was built
	busy    map[string]bool
	aside   []consumer.Reason
}

// entry is a state of a charge, and since when it holds by Stripe's clock.
type entry struct {
	charge string
	state  string
	since  int64
}

// errBusy comes before anything is changed.
var errBusy = errors.New("the books are busy")

func newBooks() *books {
	return &books{entries: map[string]int{}, charges: map[string]entry{}, builds: map[string]int{}, busy: map[string]bool{}}
}

// beBusyOnce makes the first booking of an event, or build of a commit, fail.
func (b *books) beBusyOnce(id string) { b.busy[id] = true }

func (b *books) book(_ context.Context, event string, e entry) error {
	time.Sleep(5 * time.Millisecond) // long enough for a duplicate to arrive
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[event] {
		delete(b.busy, event)
		return errBusy
	}
	b.entries[event]++
	if known, ok := b.charges[e.charge]; !ok || e.since > known.since {
		b.charges[e.charge] = e
	}
	return nil
}

func (b *books) build(_ context.Context, commit string) error {
	time.Sleep(5 * time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy[commit] {
		delete(b.busy, commit)
		return errBusy
	}
	b.builds[commit]++
	return nil
}

// putAside keeps what nobody could handle, for a person.
func (b *books) putAside(_ []byte, verdict consumer.Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.aside = append(b.aside, verdict.Reason)
}
