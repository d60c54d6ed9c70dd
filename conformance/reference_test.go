package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// reference is the contract as a map, and, with a bug, what the suite must catch.
type reference struct {
	clock *clock
	bug   string

	mu        sync.Mutex
	entries   map[string]*entry
	waiters   map[string]chan struct{}
	silenced  chan struct{} // closed unless the store is silent
	fences    map[uint64]backend.Token
	processes int
	skew      time.Duration // of the clock of who is looking, for a bug
	failing   int           // verbs that fail because connections were cut
	scratch   []byte        // of a bug
}

type entry struct {
	record   backend.Record // State is never Abandoned by time alone
	keep     time.Duration
	leaseEnd time.Duration
	end      time.Duration
	corrupt  bool
	taken    time.Time     // by the clock of the process, for a bug
	life     time.Duration // of its lease, for the same bug
}

// process is one connection to the store.
type process struct {
	*reference
	closing sync.Once
	closed  chan struct{}
	mu      sync.Mutex
	cache   map[string]backend.Record
	blocked sync.Mutex
	claimed map[backend.Token]bool
	skew    time.Duration // of its clock, for a bug
}

func (s *reference) connect() *process {
	p := &process{reference: s, closed: make(chan struct{}), cache: map[string]backend.Record{}, claimed: map[backend.Token]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("each client's clock rules") {
		p.skew = time.Duration(s.processes) * time.Hour
	}
	s.processes++
	return p
}

func (s *reference) is(bug string) bool { return s.bug == bug }

func (s *reference) storageKey(key string) string {
	switch s.bug {
	case "keys folded":
		return strings.ToLower(key)
	case "keys trimmed":
		return strings.TrimSpace(key)
	case "keys end at NUL":
		key, _, _ = strings.Cut(key, "\x00")
		return key + "."
	case "keys are text":
		return strings.ToValidUTF8(key, "\ufffd")
	case "keys lose their colons":
		return strings.ReplaceAll(key, ":", "")
	case "keys cut off":
		return key[:min(len(key), 255)]
	}
	return key
}

// find returns the key's entry, or nil where it is unknown by now.
func (s *reference) find(key string) *entry {
	e := s.entries[s.storageKey(key)]
	if e == nil {
		return nil
	}
	now := s.clock.now()
	gone := now >= e.end
	if s.is("a lapsed lease disappears") && e.record.State == backend.Claimed {
		gone = now >= e.leaseEnd
	}
	if gone {
		delete(s.entries, s.storageKey(key))
		return nil
	}
	return e
}

// state is that of the entry by now.
func (s *reference) state(e *entry) backend.State { return s.stateAt(e, s.clock.now()+s.skew) }

func (s *reference) stateAt(e *entry, now time.Duration) backend.State {
	state := e.record.State
	lapsed := now >= e.leaseEnd
	if s.is("leases end by the claimer's clock") {
		lapsed = time.Since(e.taken) >= e.life
	}
	if s.is("leases end early") {
		lapsed = now >= e.leaseEnd-(e.leaseEnd-now)/2-e.keep
	}
	if state == backend.Claimed && lapsed {
		return backend.Abandoned
	}
	if s.is("completed records lapse") && state == backend.Completed && lapsed {
		return backend.Abandoned
	}
	return state
}

func (s *reference) show(e *entry) backend.Record {
	if e == nil {
		return backend.Record{}
	}
	r := e.record
	// One look at the clock: a lease that ends between two would be live with
	// nothing left.
	now := s.clock.now() + s.skew
	r.State = s.stateAt(e, now)
	if !s.is("records are shared") {
		r.Fingerprint, r.Metadata, r.Outcome = slices.Clone(r.Fingerprint), slices.Clone(r.Metadata), slices.Clone(r.Outcome)
	}
	if r.State == backend.Claimed {
		r.LeaseLeft = e.leaseEnd - now
	}
	return r
}

func (s *reference) own(b []byte) []byte {
	if s.is("requests are kept") {
		return b
	}
	if s.is("requests are appended to") && b != nil {
		return slices.Clone(append(b, 0)[:len(b)])
	}
	return slices.Clone(b)
}

func (s *reference) round(d time.Duration) time.Duration {
	if s.is("long durations are cut off") {
		d = min(d, 5*365*24*time.Hour)
	}
	if s.is("durations rounded down") {
		return d.Truncate(time.Millisecond)
	}
	return time.Duration(backend.Milliseconds(d)) * time.Millisecond
}

func (s *reference) setLease(e *entry, lease time.Duration) {
	if s.is("leases are cut to Keep") {
		lease = min(lease, e.keep)
	}
	e.taken = time.Now()
	switch s.bug {
	case "lease and Keep swapped":
		lease, e.keep = e.keep, lease
	case "lease and retention swapped":
		lease = retention
	}
	e.life = s.round(lease)
	e.leaseEnd = s.clock.now() + s.skew + e.life
	e.end = e.leaseEnd + s.round(e.keep)
	if s.is("Keep counts from the claim") {
		e.end = max(e.leaseEnd, s.clock.now()+e.keep)
	}
}

func (s *reference) wake(key string) {
	if ch := s.waiters[key]; ch != nil {
		if s.is("one waiter is woken") {
			select {
			case ch <- struct{}{}:
			default:
			}
			return
		}
		close(ch)
		delete(s.waiters, key)
	}
}

var errSilent = errors.New("reference: no answer")

// enter is what every verb does first.
func (p *process) enter(ctx context.Context, key string) error {
	select {
	case <-p.closed:
		if !p.is("a closed backend goes on") {
			return backend.ErrClosed
		}
	default:
	}
	if err := backend.CheckKey(key); err != nil && !p.is("keys unchecked") {
		return err
	}
	if p.is("an ended ctx is ignored") {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("reference: %w", err)
	}
	p.reference.mu.Lock()
	silenced := p.silenced
	failing := p.failing > 0
	if failing {
		p.failing--
	}
	p.reference.mu.Unlock()
	if failing {
		return errSilent
	}
	if p.is("a ctx without end is refused") && ctx.Done() == nil {
		return backend.ErrInvalid
	}
	if p.is("silence outlasts the ctx") {
		<-silenced
	}
	select {
	case <-silenced:
		return nil
	case <-ctx.Done():
		if p.is("a client's time-out is no ctx error") {
			return errSilent
		}
		return fmt.Errorf("%w: %w", errSilent, ctx.Err())
	}
}
