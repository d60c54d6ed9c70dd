package linearizability_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
)

// flawed is the contract as a map, and, with a bug, what the checker must catch:
// what goes wrong only when several call at once, in an unlucky order, or again.
type flawed struct {
	bug   string
	start time.Time

	mu      sync.Mutex
	entries map[string]*entry
	waiters map[string]chan struct{}
	verbs   int
	older   []snapshot // of a replica
}

type entry struct {
	record        backend.Record // State is never Abandoned by time alone
	keep          time.Duration
	leaseEnd, end time.Duration
}

type snapshot struct {
	at  time.Duration
	key string
	was *entry
}

// client is one process on the store; its clock may be wrong.
type client struct {
	*flawed
	skew time.Duration

	cached sync.Map // key: backend.Record
}

func withBug(bug string) conformance.Harness {
	return conformance.Harness{Open: func(testing.TB) func() backend.Backend {
		store := &flawed{bug: bug, start: time.Now(), entries: map[string]*entry{}, waiters: map[string]chan struct{}{}}
		skews := []time.Duration{0, 200 * time.Millisecond, -200 * time.Millisecond}
		n := 0
		return func() backend.Backend {
			c := &client{flawed: store}
			if store.is("leases end by the client's clock") {
				c.skew = skews[n%len(skews)]
			}
			n++
			return c
		}
	}}
}

func (s *flawed) is(bug string) bool { return s.bug == bug }

// gap lets others in between two steps of a bug that takes two.
func (s *flawed) gap(bug string) {
	if s.is(bug) {
		s.mu.Unlock()
		time.Sleep(time.Millisecond)
		s.mu.Lock()
	}
}

func (c *client) now() time.Duration { return time.Since(c.start) + c.skew }

// find returns the key's entry, nil where it is unknown.
func (c *client) find(key string) *entry {
	c.verbs++
	if c.is("everything is forgotten now and then") && c.verbs%500 == 0 {
		clear(c.entries)
	}
	e := c.entries[key]
	if e == nil {
		return nil
	}
	end := e.end
	if c.is("a lapsed record disappears") && e.record.State == backend.Claimed {
		end = e.leaseEnd
	}
	if c.now() >= end {
		delete(c.entries, key)
		return nil
	}
	return e
}

func (c *client) show(e *entry) backend.Record {
	if e == nil {
		return backend.Record{}
	}
	r := e.record
	r.Fingerprint, r.Metadata, r.Outcome = slices.Clone(r.Fingerprint), slices.Clone(r.Metadata), slices.Clone(r.Outcome)
	if r.State == backend.Claimed {
		r.LeaseLeft = e.leaseEnd - c.now()
		if r.LeaseLeft <= 0 {
			r.State, r.LeaseLeft = backend.Abandoned, 0
		}
	}
	return r
}

func (c *client) store(key string, e *entry) {
	c.older = append(c.older, snapshot{c.now(), key, c.entries[key]})
	if len(c.older) > 1000 {
		c.older = c.older[500:]
	}
	c.entries[key] = e
	if woken := c.waiters[key]; woken != nil {
		close(woken)
		delete(c.waiters, key)
	}
}

var errFailed = errors.New("flawed: connection reset")

func (c *client) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := ctx.Err(); err != nil {
		return backend.Record{}, fmt.Errorf("%w: %w", backend.ErrNotApplied, err)
	}
	if err := request.Check(); err != nil {
		return backend.Record{}, err
	}
	sent := c.now()
	if c.is("leases count from the sending") {
		time.Sleep(20 * time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(key)
	if c.is("an error is an unknown key") && c.verbs%100 == 0 {
		return backend.Record{}, nil
	}
	before := e
	c.gap("a claim reads, then writes")
	if e != nil && c.show(e).State != backend.Claimed {
		c.gap("a takeover reads, then writes")
	}
	if next := c.claim(e, &request); next != nil {
		if c.is("leases count from the sending") {
			next.end -= c.now() - sent
			next.leaseEnd -= c.now() - sent
		}
		c.store(key, next)
		e = next
		if c.is("the lease is set in a second step") && before == nil {
			leaseEnd, end := next.leaseEnd, next.end
			next.leaseEnd, next.end = next.leaseEnd+time.Hour, next.end+time.Hour
			c.gap("the lease is set in a second step")
			next.leaseEnd, next.end = leaseEnd, end
		}
	}
	r := c.show(e)
	if r.Token == request.Token {
		r.LeaseLeft = 0
	}
	return r, nil
}

// claim is the table of Claim: what to store, nil for nothing.
func (c *client) claim(e *entry, request *backend.ClaimRequest) *entry {
	now := c.now()
	lease := func(n *entry) *entry {
		n.leaseEnd = now + request.Lease
		n.end = n.leaseEnd + n.keep
		return n
	}
	take := func(attempt uint32, fence uint64) *entry {
		return lease(&entry{keep: request.Keep, record: backend.Record{
			State: backend.Claimed, Token: request.Token, Attempt: attempt, Fence: fence,
			Fingerprint: slices.Clone(request.Fingerprint), Metadata: slices.Clone(request.Metadata),
		}})
	}
	renewal := request.Renewal && !c.is("a renewal is a claim")
	seen := request.Seen
	if request.Renewal && !renewal && e != nil {
		seen = e.record.Fence
	}
	switch {
	case e == nil && renewal:
		return take(request.Attempt, request.Fence)
	case e == nil && (seen == 0 || c.is("Seen isn't compared")):
		return take(1, max(request.Fence, 1))
	case e == nil:
		return nil
	}
	state, own := c.show(e).State, e.record.Token == request.Token
	switch {
	case state == backend.Completed:
		if own && renewal && c.is("a late renewal shortens the retention") {
			e.end = now + request.Lease
		}
		return nil
	case own && e.record.State == backend.Claimed:
		n := *e
		switch c.bug {
		case "a repeated send changes nothing":
			return nil
		case "a repeated send is a new attempt":
			n.record.Attempt++
			n.record.Fence++
		case "a repeated send brings its Keep":
			n.keep = request.Keep / 2
		}
		return lease(&n)
	case own && renewal && state == backend.Abandoned && c.is("a renewal revives an abandoned claim"):
		n := *e
		n.record.State = backend.Claimed
		return lease(&n)
	case own && !(state == backend.Vacant && c.is("a released token is revived")):
		return nil
	case renewal:
		return nil
	case state == backend.Claimed && !c.is("a live lease is taken over"):
		return nil
	case seen != e.record.Fence && !c.is("Seen isn't compared"):
		return nil
	}
	attempt, fence := e.record.Attempt+1, max(e.record.Fence+1, request.Fence)
	switch c.bug {
	case "attempts aren't counted":
		attempt = 1
	case "the fence asked for is ignored":
		fence = e.record.Fence + 1
	case "the fence asked for is the fence":
		fence = max(request.Fence, 1)
	}
	return take(attempt, fence)
}

func (c *client) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotApplied, err)
	}
	if err := request.Check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(key)
	if c.is("a lost reply is not applied") && c.verbs%50 == 0 {
		if next, err := c.commit(e, &request); err == nil && next != nil {
			c.store(key, next)
		}
		return fmt.Errorf("%w: %w", backend.ErrNotApplied, errFailed)
	}
	c.gap("a commit reads, then writes")
	next, err := c.commit(e, &request)
	if next == nil || err != nil {
		return err
	}
	c.store(key, next)
	if request.Ending == backend.Release && c.is("a release deletes") {
		delete(c.entries, key)
	}
	return nil
}

// commit is the table of Commit: what to store, nil for nothing.
func (c *client) commit(e *entry, request *backend.CommitRequest) (*entry, error) {
	end := func(from entry) *entry {
		from.end = c.now() + request.Keep
		switch request.Ending {
		case backend.Complete:
			from.record.State, from.record.Outcome = backend.Completed, slices.Clone(request.Outcome)
			from.end = c.now() + request.Retention
			if c.is("the retention is the lease") && from.leaseEnd > 0 {
				from.end = from.leaseEnd
			}
		case backend.Release:
			from.record.State = backend.Vacant
		case backend.Abandon:
			from.record.State = backend.Abandoned
			if c.is("Abandon waits for the lease's end") && from.leaseEnd > c.now() {
				from.record.State = backend.Claimed
			}
		}
		if c.is("a commit drops the fingerprint") {
			from.record.Fingerprint = nil
		}
		return &from
	}
	held := request.LeaseHeld && !c.is("LeaseHeld isn't believed") || c.is("LeaseHeld isn't asked for")
	if e == nil {
		created := entry{record: backend.Record{
			Token: request.Token, Attempt: request.Attempt, Fence: max(request.Fence, 1),
			Fingerprint: slices.Clone(request.Fingerprint), Metadata: slices.Clone(request.Metadata),
		}}
		switch {
		case request.Ending == backend.Release && c.is("a release of an unknown key leaves nothing"):
			return nil, nil
		case held, request.Ending == backend.Release:
			return end(created), nil
		case request.Ending == backend.Abandon:
			return nil, nil
		}
		return nil, backend.ErrSuperseded
	}
	own := e.record.Token == request.Token
	switch {
	case c.is("commits compare no token") && e.record.State == backend.Claimed,
		c.is("releases compare no token") && e.record.State == backend.Claimed && request.Ending == backend.Release:
		own = true
	}
	switch {
	case !own:
		if c.is("a refused commit extends the lease") {
			e.leaseEnd, e.end = e.leaseEnd+50*time.Millisecond, e.end+50*time.Millisecond
		}
		return nil, backend.ErrSuperseded
	case e.record.State == backend.Completed:
		same := request.Ending == backend.Complete && bytes.Equal(e.record.Outcome, request.Outcome)
		switch {
		case request.Ending == backend.Complete && c.is("the last outcome wins"):
			return end(*e), nil
		case same && c.is("a commit's retry is superseded"):
			return nil, backend.ErrSuperseded
		case request.Ending == backend.Complete && c.is("any repeated commit succeeds"), same:
			return nil, nil
		}
		return nil, backend.ErrSuperseded
	case e.record.State == backend.Vacant:
		if request.Ending == backend.Release {
			return nil, nil
		}
		return nil, backend.ErrSuperseded
	case c.show(e).State == backend.Abandoned && c.is("a lapsed lease voids the commit"):
		return nil, backend.ErrSuperseded
	}
	return end(*e), nil
}

func (c *client) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := ctx.Err(); err != nil {
		return backend.Record{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.find(key)
	if c.is("Fetch reads from a replica") {
		for _, s := range slices.Backward(c.older) {
			if s.key == key && s.at > c.now()-10*time.Millisecond {
				e = s.was
			}
		}
	}
	r := c.show(e)
	if e != nil {
		r.Remaining = e.end - c.now()
		if c.is("Fetch renews") && r.State == backend.Claimed {
			e.leaseEnd, e.end = e.leaseEnd+20*time.Millisecond, e.end+20*time.Millisecond
		}
	}
	return r, nil
}

func (c *client) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	for looks := 0; ; looks++ {
		c.mu.Lock()
		woken := c.waiters[key]
		if woken == nil {
			woken = make(chan struct{})
			c.waiters[key] = woken
		}
		r := c.show(c.find(key))
		c.mu.Unlock()
		held := r.State == backend.Claimed && r.Token == token && !token.IsZero()
		if !held || looks > 0 && c.is("Wait returns on any wake-up") {
			old, found := c.cached.Swap(key, r)
			if found && c.is("Wait answers from a cache") && old.(backend.Record).Fence == r.Fence {
				return old.(backend.Record), nil
			}
			return r, nil
		}
		if c.is("Wait returns early") {
			r.LeaseLeft = min(r.LeaseLeft, 10*time.Millisecond)
		}
		timer := time.NewTimer(r.LeaseLeft)
		select {
		case <-woken:
		case <-timer.C:
			if c.is("Wait returns early") {
				return r, nil
			}
			if c.is("Wait returns what it saw first") {
				return r, nil
			}
		case <-ctx.Done():
			timer.Stop()
			return backend.Record{}, ctx.Err()
		}
		timer.Stop()
	}
}

func (c *client) Forget(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrNotApplied, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] != nil {
		c.store(key, nil)
		delete(c.entries, key)
	}
	return nil
}
