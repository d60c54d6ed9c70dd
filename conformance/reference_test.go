package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// clock is the reference store's: moved by Advance, or real.
type clock struct {
	mu      sync.Mutex
	real    bool
	start   time.Time
	passed  time.Duration
	changed chan struct{}
}

func newClock(real bool) *clock {
	return &clock{real: real, start: time.Now(), changed: make(chan struct{})}
}

func (c *clock) now() time.Duration {
	if c.real {
		return time.Since(c.start)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
	close(c.changed)
	c.changed = make(chan struct{})
}

// after is closed d from now, or earlier.
func (c *clock) after(d time.Duration) (<-chan struct{}, func()) {
	if c.real {
		done := make(chan struct{})
		timer := time.AfterFunc(d, func() { close(done) })
		return done, func() { timer.Stop() }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed, func() {}
}

// reference is the contract as a map, and, with a bug, what the suite must catch.
type reference struct {
	clock *clock
	bug   string

	mu       sync.Mutex
	entries  map[string]*entry
	waiters  map[string]chan struct{}
	silenced chan struct{} // closed unless the store is silent
	fences   map[uint64]backend.Token
	failing  int    // verbs that fail because connections were cut
	scratch  []byte // of a bug
}

type entry struct {
	record   backend.Record // State is never Abandoned by time alone
	keep     time.Duration
	leaseEnd time.Duration
	end      time.Duration
	corrupt  bool
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
}

func (s *reference) connect() *process {
	return &process{reference: s, closed: make(chan struct{}), cache: map[string]backend.Record{}, claimed: map[backend.Token]bool{}}
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
func (s *reference) state(e *entry) backend.State {
	state := e.record.State
	lapsed := s.clock.now() >= e.leaseEnd
	if s.is("leases end early") {
		lapsed = s.clock.now() >= e.leaseEnd-(e.leaseEnd-s.clock.now())/2-e.keep
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
	r.State = s.state(e)
	if !s.is("records are shared") {
		r.Fingerprint, r.Metadata, r.Outcome = slices.Clone(r.Fingerprint), slices.Clone(r.Metadata), slices.Clone(r.Outcome)
	}
	if r.State == backend.Claimed {
		r.LeaseLeft = e.leaseEnd - s.clock.now()
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
	e.leaseEnd = s.clock.now() + s.round(lease)
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

func (p *process) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		return backend.Record{}, err
	}
	if err := request.Check(); err != nil && !p.is("requests unchecked") {
		return backend.Record{}, err
	}
	if p.is("wait blocks the connection") {
		p.blocked.Lock()
		defer p.blocked.Unlock()
	}
	s := p.reference
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e != nil && e.corrupt {
		if !s.is("corrupt is unknown") {
			return backend.Record{}, backend.ErrCorrupt
		}
		e = nil
	}
	if s.is("claim reads, then writes") {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
	decided := s.claim(key, e, request)
	if decided != nil {
		p.claimed[request.Token] = true
		s.fences[decided.record.Fence] = decided.record.Token
		s.entries[s.storageKey(key)] = decided
		if s.is("a claim wakes") {
			s.wake(key)
		}
		e = decided
	}
	r := s.show(e)
	lost := r.State == backend.Claimed && r.Token != request.Token
	if !lost {
		r.LeaseLeft = 0
	}
	if lost && s.is("losing is an error") {
		return backend.Record{}, backend.ErrSuperseded
	}
	if lost && s.is("losers aren't told LeaseLeft") {
		r.LeaseLeft = 0
	}
	if lost && s.is("fingerprints are compared") && !bytes.Equal(r.Fingerprint, request.Fingerprint) {
		return backend.Record{}, backend.ErrInvalid
	}
	return r, nil
}

// claim is the table of Claim: what to store, or nil for unchanged.
func (s *reference) claim(key string, e *entry, request backend.ClaimRequest) *entry {
	fresh := func(attempt uint32, fence uint64) *entry {
		n := &entry{keep: request.Keep, record: backend.Record{
			State: backend.Claimed, Token: request.Token, Attempt: attempt, Fence: max(fence, 1),
			Fingerprint: s.own(request.Fingerprint), Metadata: s.own(request.Metadata),
		}}
		switch s.bug {
		case "attempts count from zero":
			n.record.Attempt--
		case "fences count from zero":
			n.record.Fence = fence
		}
		if s.is("fences are floats") {
			n.record.Fence = uint64(float32(n.record.Fence))
		}
		if s.is("the last holder's fingerprint stays") && e != nil {
			n.record.Fingerprint, n.record.Metadata = e.record.Fingerprint, e.record.Metadata
		}
		s.setLease(n, request.Lease)
		return n
	}
	renewal := request.Renewal
	if s.is("a renewal is a claim") && e != nil && e.record.Token != request.Token {
		renewal = false
		request.Seen = e.record.Fence
	}
	if e == nil {
		switch {
		case renewal && s.is("a renewal re-creates nothing"):
			return nil
		case renewal && s.is("a renewal re-creates a first attempt"):
			return fresh(1, 1)
		case renewal:
			return fresh(request.Attempt, request.Fence)
		case request.Seen == 0 || s.is("Seen ignored for unknown keys"):
			if s.is("the request's fence is ignored") {
				return fresh(1, 1)
			}
			if s.is("fences count from zero") {
				return fresh(1, request.Fence)
			}
			return fresh(1, max(request.Fence, 1))
		default:
			return nil
		}
	}
	state, own := s.state(e), e.record.Token == request.Token
	if s.is("fetch and claim know no lapse") && state == backend.Abandoned && e.record.State == backend.Claimed && !own {
		state = backend.Claimed
	}
	switch {
	case state == backend.Completed:
		if s.is("late renewals shorten the retention") && renewal && own {
			e.end = s.clock.now() + request.Lease
		}
		if s.is("replays extend the retention") {
			e.end += time.Hour
		}
		if s.is("an owner's renewal reopens") && renewal && own {
			n := *e
			n.record.State = backend.Claimed
			s.setLease(&n, request.Lease)
			return &n
		}
		return nil
	case own && e.record.State == backend.Claimed,
		own && renewal && e.record.State == backend.Abandoned && s.is("a renewal revives an abandoned claim"),
		own && renewal && e.record.State == backend.Vacant && s.is("a renewal revives a released claim"),
		own && !renewal && e.record.State == backend.Abandoned && s.is("a claim revives an abandoned one"):
		if s.is("a repeated send changes nothing") && !renewal || s.is("a renewal changes nothing") && renewal {
			return nil
		}
		if s.is("a lapsed claim isn't revived") && state == backend.Abandoned {
			return nil
		}
		n := *e
		n.record.State = backend.Claimed
		switch s.bug {
		case "a repeated send is a new attempt":
			n.record.Attempt++
			n.record.Fence++
		case "a repeated send replaces the fingerprint":
			n.record.Fingerprint, n.record.Metadata = s.own(request.Fingerprint), s.own(request.Metadata)
		case "a repeated send replaces Keep":
			n.keep = request.Keep
		case "a lease is never shortened":
			s.setLease(&n, max(request.Lease, e.leaseEnd-s.clock.now()))
			return &n
		case "a renewal forgets the end of the record":
			n.leaseEnd = s.clock.now() + request.Lease
			return &n
		}
		s.setLease(&n, request.Lease)
		return &n
	case renewal:
		if s.is("a renewal extends anybody's lease") && state == backend.Claimed {
			s.setLease(e, request.Lease)
		}
		return nil
	case own && !(s.is("a released token lives") && state == backend.Vacant):
		return nil
	case state == backend.Claimed && !s.is("a live lease is taken over"):
		if s.is("a lost claim extends the lease") {
			s.setLease(e, request.Lease)
		}
		return nil
	}
	seen := request.Seen == e.record.Fence
	switch s.bug {
	case "Seen ignored":
		seen = true
	case "an older Seen is taken":
		seen = request.Seen != 0 && request.Seen <= e.record.Fence
	case "Seen names the holder":
		seen = seen || s.fences[request.Seen] == e.record.Token && request.Seen != 0
	case "vacant keys need no Seen":
		seen = seen || state == backend.Vacant && request.Seen == 0
	}
	if !seen {
		return nil
	}
	attempt, fence := e.record.Attempt+1, max(e.record.Fence+1, request.Fence)
	switch s.bug {
	case "a takeover is no new attempt":
		attempt--
	case "a takeover keeps the fence":
		fence = e.record.Fence
	case "the request's fence is the fence":
		fence = max(request.Fence, 1)
	}
	return fresh(attempt, fence)
}

func (p *process) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := p.enter(ctx, key); err != nil {
		return err
	}
	if err := request.Check(); err != nil && !p.is("requests unchecked") {
		return err
	}
	if p.is("every duration is checked") && (request.Keep < 0 || request.Retention < 0) {
		return backend.ErrInvalid
	}
	if p.is("the shortest durations are refused") && (request.Keep == backend.MinDuration || request.Retention == backend.MinDuration) {
		return backend.ErrInvalid
	}
	if p.is("wait blocks the connection") {
		p.blocked.Lock()
		defer p.blocked.Unlock()
	}
	s := p.reference
	if len(request.Outcome) > backend.MaxOutcome && s.is("large outcomes break") {
		return errors.New("reference: connection reset")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if s.is("commits need the claiming process") && e != nil && !p.claimed[request.Token] {
		return backend.ErrSuperseded
	}
	if e != nil && e.corrupt && !s.is("corrupt is overwritten") {
		return backend.ErrCorrupt
	}
	if s.is("commit reads, then writes") {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
	next, err := s.commit(e, request)
	if err != nil && s.is("superseded is also not applied") {
		err = errors.Join(err, backend.ErrNotApplied)
	}
	if err != nil || next == nil {
		return err
	}
	s.fences[next.record.Fence] = next.record.Token
	s.entries[s.storageKey(key)] = next
	if s.is("a release deletes") && request.Ending == backend.Release {
		delete(s.entries, s.storageKey(key))
	}
	if !s.is("no push on "+request.Ending.String()) && !(s.is("pushes don't carry odd keys") && strings.ContainsAny(key, "\x00\xff\r\n")) {
		s.wake(key)
	}
	return nil
}

// commit is the table of Commit: what to store, or nil for nothing.
func (s *reference) commit(e *entry, request backend.CommitRequest) (*entry, error) {
	ended := func(from entry) *entry {
		switch request.Ending {
		case backend.Complete:
			from.record.State = backend.Completed
			from.record.Outcome = s.own(request.Outcome)
			from.end = s.clock.now() + s.round(request.Retention)
			switch s.bug {
			case "outcomes share a buffer":
				s.scratch = slices.Grow(s.scratch[:0], 1<<20)
				s.scratch = append(s.scratch, request.Outcome...)
				from.record.Outcome = s.scratch
			case "the retention is the lease":
				from.end = max(from.leaseEnd, s.clock.now()+1)
			case "outcomes end at NUL":
				from.record.Outcome, _, _ = bytes.Cut(from.record.Outcome, []byte{0})
			case "outcomes are text":
				from.record.Outcome = bytes.ToValidUTF8(from.record.Outcome, []byte("\ufffd"))
			case "outcomes cut off":
				from.record.Outcome = from.record.Outcome[:min(len(from.record.Outcome), 65535)]
			case "an empty outcome is none":
				if len(request.Outcome) == 0 {
					from.record.State = backend.Vacant
				}
			}
		case backend.Release:
			from.record.State = backend.Vacant
			from.end = s.clock.now() + s.round(request.Keep)
			if s.is("released records stay") {
				from.end += time.Hour
			}
			if s.is("a release forgets the attempt") {
				from.record.Attempt, from.record.Fence = 0, 1
			}
		case backend.Abandon:
			from.record.State = backend.Abandoned
			from.end = s.clock.now() + s.round(request.Keep)
			if s.is("Abandon waits for the lease's end") {
				from.record.State = backend.Claimed
				from.end = from.leaseEnd + request.Keep
			}
		}
		switch s.bug {
		case "a commit drops the fingerprint":
			from.record.Fingerprint, from.record.Metadata = nil, nil
		case "a commit brings its fingerprint":
			from.record.Fingerprint, from.record.Metadata = s.own(request.Fingerprint), s.own(request.Metadata)
		case "the claim's Keep rules the end":
			from.end = s.clock.now() + from.keep
		}
		return &from
	}
	leaseHeld := request.LeaseHeld
	if s.is("LeaseHeld always believed") {
		leaseHeld = true
	}
	if s.is("LeaseHeld never believed") {
		leaseHeld = false
	}
	if e == nil {
		created := entry{record: backend.Record{
			Token: request.Token, Attempt: request.Attempt, Fence: max(request.Fence, 1),
			Fingerprint: s.own(request.Fingerprint), Metadata: s.own(request.Metadata),
		}}
		if s.is("a fence of 0 is stored") {
			created.record.Fence = request.Fence
		}
		switch {
		case request.Ending == backend.Release && s.is("a release of an unknown key is nothing"):
			return nil, nil
		case request.Ending == backend.Release || leaseHeld:
			return ended(created), nil
		case request.Ending == backend.Abandon:
			return nil, nil
		default:
			return nil, backend.ErrSuperseded
		}
	}
	own := e.record.Token == request.Token
	switch {
	case s.is("commits compare no token"), request.Ending == backend.Release && s.is("releases compare no token"),
		request.Ending == backend.Abandon && s.is("abandons compare no token"),
		leaseHeld && s.is("LeaseHeld beats the token"),
		len(request.Outcome) > 16<<10 && s.is("large outcomes aren't fenced"):
		own = true
	}
	if !own {
		if s.is("refused commits extend the record") {
			e.end += time.Hour
		}
		return nil, backend.ErrSuperseded
	}
	switch e.record.State {
	case backend.Completed:
		if request.Ending == backend.Complete && s.is("the last outcome wins") {
			return ended(*e), nil
		}
		if request.Ending == backend.Release && s.is("a late release deletes the answer") {
			return ended(*e), nil
		}
		same := request.Ending == backend.Complete && bytes.Equal(e.record.Outcome, request.Outcome)
		if s.is("any repeated commit is success") {
			same = true
		}
		if same && !s.is("a repeated commit is refused") {
			if s.is("a repeated commit extends the retention") {
				e.end = s.clock.now() + request.Retention
			}
			return nil, nil
		}
		return nil, backend.ErrSuperseded
	case backend.Vacant:
		if request.Ending == backend.Release && !s.is("a repeated release is refused") {
			return nil, nil
		}
		if s.is("a released token commits") {
			return ended(*e), nil
		}
		return nil, backend.ErrSuperseded
	case backend.Abandoned:
		if s.is("an abandoned token can't commit") {
			return nil, backend.ErrSuperseded
		}
		if request.Ending == backend.Abandon && s.is("a repeated Abandon keeps the old Keep") {
			return nil, nil
		}
	}
	if s.is("a lapsed lease voids the commit") && s.state(e) == backend.Abandoned {
		return nil, backend.ErrSuperseded
	}
	return ended(*e), nil
}

func (p *process) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		if p.is("errors are reported as absent") && !errors.Is(err, backend.ErrInvalid) && !errors.Is(err, backend.ErrClosed) {
			return backend.Record{}, nil
		}
		return backend.Record{}, err
	}
	p.mu.Lock()
	cached, ok := p.cache[key]
	p.mu.Unlock()
	if ok && p.is("fetch trusts its cache") {
		return cached, nil
	}
	s := p.reference
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(key)
	if e == nil && s.is("absent is an error") {
		return backend.Record{}, errors.New("reference: no such key")
	}
	if e == nil {
		return backend.Record{}, nil
	}
	if e.corrupt {
		return backend.Record{}, backend.ErrCorrupt
	}
	if s.is("fetch renews") {
		s.setLease(e, max(e.leaseEnd-s.clock.now(), 100*time.Millisecond))
	}
	r := s.show(e)
	r.Remaining = e.end - s.clock.now()
	if s.is("fetch and claim know no lapse") && r.State == backend.Abandoned && e.record.State == backend.Claimed {
		r.State = backend.Claimed
	}
	if s.is("a released key is unknown to Fetch") && r.State == backend.Vacant {
		return backend.Record{}, nil
	}
	p.mu.Lock()
	p.cache[key] = r
	p.mu.Unlock()
	return r, nil
}

func (p *process) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		return backend.Record{}, err
	}
	if p.is("wait blocks the connection") {
		p.blocked.Lock()
		defer p.blocked.Unlock()
	}
	s := p.reference
	for first := true; ; first = false {
		s.mu.Lock()
		var woken chan struct{}
		register := func() {
			if woken = s.waiters[key]; woken == nil {
				woken = make(chan struct{})
				s.waiters[key] = woken
			}
		}
		if !s.is("wait looks, then registers") {
			register()
		}
		e := s.find(key)
		r := s.show(e)
		left := time.Duration(0)
		if e != nil {
			left = e.leaseEnd - s.clock.now()
			if e.corrupt && !s.is("a corrupt record is waited for") {
				s.mu.Unlock()
				return backend.Record{}, backend.ErrCorrupt
			}
		}
		if s.is("wait looks, then registers") {
			s.mu.Unlock()
			time.Sleep(time.Millisecond)
			s.mu.Lock()
			register()
		}
		s.mu.Unlock()
		held := e != nil && r.State == backend.Claimed && r.Token == token
		switch {
		case s.is("wait waits for any holder"):
			held = e != nil && r.State == backend.Claimed
		case s.is("wait waits for unknown keys") && e == nil:
			held, left = true, time.Hour
		case s.is("wait sleeps before it looks") && first:
			held, left = true, time.Hour
		case s.is("wait returns at once"):
			held = false
		}
		if !held {
			if s.is("wait forgets the outcome") && !first {
				r.Outcome = nil
			}
			if s.is("wait takes the key away") {
				s.mu.Lock()
				delete(s.entries, s.storageKey(key))
				s.mu.Unlock()
			}
			return r, nil
		}
		if s.is("wait leaks") {
			go func() { <-p.closed }()
		}
		leaseOver, stop := s.clock.after(left)
		if s.is("wait sleeps past the lease") {
			leaseOver = nil
		}
		done, closed := ctx.Done(), (<-chan struct{})(p.closed)
		if s.is("wait ignores its ctx") {
			done = nil
		}
		if s.is("close wakes nobody") {
			closed = nil
		}
		select {
		case <-woken:
		case <-leaseOver:
			if s.is("wait trusts its timer") && s.clock.now() > 0 {
				stop()
				return r, nil
			}
		case <-closed:
			stop()
			return backend.Record{}, backend.ErrClosed
		case <-done:
			stop()
			if s.is("wait hides its ctx's error") {
				return backend.Record{}, errSilent
			}
			if s.is("a cancelled wait wakes the others") {
				s.mu.Lock()
				delete(s.waiters, key)
				s.mu.Unlock()
			}
			return backend.Record{}, fmt.Errorf("reference: %w", ctx.Err())
		}
		stop()
	}
}

func (p *process) Forget(ctx context.Context, key string) error {
	if err := p.enter(ctx, key); err != nil {
		return err
	}
	s := p.reference
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("forgetting an unknown key fails") && s.find(key) == nil {
		return errors.New("reference: no such key")
	}
	if e := s.find(key); e != nil && e.corrupt && s.is("a corrupt record can't be forgotten") {
		return backend.ErrCorrupt
	}
	if s.is("forget takes prefixes") {
		for k := range s.entries {
			if strings.HasPrefix(k, strings.TrimSuffix(key, "*")) {
				delete(s.entries, k)
			}
		}
	}
	if e := s.find(key); e != nil && s.is("forget keeps a trace") {
		e.record.State = backend.Vacant
	} else {
		delete(s.entries, s.storageKey(key))
	}
	if !s.is("forget wakes nobody") {
		s.wake(key)
	}
	return nil
}

func (p *process) Close() error {
	if p.is("a second close hangs") {
		p.blocked.Lock()
	}
	p.closing.Do(func() { close(p.closed) })
	return nil
}

// harness is one of the reference with a bug; the empty bug is the right one.
func harness(bug string, real bool) Harness {
	c := newClock(real)
	var mu sync.Mutex
	var stores []*reference
	each := func(do func(s *reference)) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range stores {
			s.mu.Lock()
			do(s)
			s.mu.Unlock()
		}
	}
	h := Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			open := make(chan struct{})
			close(open)
			s := &reference{
				clock: c, bug: bug, entries: map[string]*entry{}, waiters: map[string]chan struct{}{},
				silenced: open, fences: map[uint64]backend.Token{},
			}
			mu.Lock()
			stores = append(stores, s)
			mu.Unlock()
			return func() backend.Backend {
				p := s.connect()
				tb.Cleanup(func() { p.closing.Do(func() { close(p.closed) }) })
				return p
			}
		},
		Lease: 40 * time.Millisecond,
		Corrupt: func(tb testing.TB, key string) {
			each(func(s *reference) {
				if e := s.find(key); e != nil {
					e.corrupt = true
				}
			})
		},
		Disconnect: func(tb testing.TB) {
			each(func(s *reference) {
				s.failing = 2
				for key, ch := range s.waiters {
					delete(s.waiters, key)
					if !s.is("a lost subscription wakes nobody") {
						close(ch)
					}
				}
			})
		},
		Silence: func(tb testing.TB) func() {
			gate := make(chan struct{})
			each(func(s *reference) { s.silenced = gate })
			return func() { close(gate) }
		},
	}
	if !real {
		h.Advance = c.advance
	}
	return h
}
