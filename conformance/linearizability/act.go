package linearizability

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// act makes one call, such as an executor, its retries, its ghosts or its rivals
// may make.
func (a *actor) act(ctx context.Context) {
	if a.random.IntN(8) == 0 {
		a.injector.DeliverLate()
	}
	ctx, cancel := a.limit(ctx)
	defer cancel()
	known := a.story.pick(a.random)
	n := a.random.IntN(100)
	switch {
	case known == nil || n < 26:
		a.claim(ctx, a.attempt())
	case n < 36:
		a.claim(ctx, known)
	case n < 48:
		a.renew(ctx, known)
	case n < 59:
		a.commit(ctx, known, backend.Complete)
	case n < 68:
		a.commit(ctx, known, backend.Release)
	case n < 76:
		a.commit(ctx, known, backend.Abandon)
	case n < 78 && a.forgets != nil:
		a.count(a.forgets.Forget(ctx, a.story.key))
	case n < 89:
		a.fetch(ctx)
	default:
		a.wait(ctx, known)
	}
}

// limit is the ctx of one call: some callers give up early.
func (a *actor) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := 10*a.story.run.lease + 5*time.Second
	if n := a.random.IntN(40); n == 0 && !a.story.quiet() {
		limit = a.between(0, 10*time.Millisecond)
	}
	return context.WithTimeout(ctx, limit)
}

// count takes note of a call that may or may not have been applied.
func (a *actor) count(err error) {
	if err == nil || errors.Is(err, backend.ErrNotApplied) || errors.Is(err, backend.ErrSuperseded) {
		return
	}
	a.story.mu.Lock()
	defer a.story.mu.Unlock()
	a.story.unknown++
}

// attempt makes a token that means to take the key as it was last seen: by
// anybody, by this actor, or not at all.
func (a *actor) attempt() *attempt {
	s, lease := a.story, a.story.run.lease
	keep, retention := a.long(), a.long()
	r := backend.ClaimRequest{Lease: a.between(lease, 2*lease).Round(time.Millisecond), Keep: keep, Fence: a.fence()}
	for i := range r.Token {
		r.Token[i] = byte(a.random.UintN(256))
	}
	which := a.random.IntN(10)
	name := a.random.IntN(1_000_000)
	if name%5 > 0 {
		r.Fingerprint = fmt.Appendf(nil, "f%d", name)
	}
	if name%3 > 0 {
		r.Metadata = fmt.Appendf(nil, "m%d", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case which < 7:
		r.Seen = s.seen
	case which < 9:
		r.Seen = a.last.Fence
	}
	made := &attempt{claim: r, commit: backend.CommitRequest{
		Token: r.Token, Ending: backend.Complete, Outcome: fmt.Appendf(nil, "o%d", name), Retention: retention,
		Fingerprint: r.Fingerprint, Metadata: r.Metadata,
	}}
	s.attempts = append(s.attempts, made)
	return made
}

// long is a Keep or Retention: some end within the story.
func (a *actor) long() time.Duration {
	lease := a.story.run.lease
	if short := a.between(lease, 4*lease).Round(time.Millisecond); a.random.IntN(2) == 0 {
		return short
	}
	return time.Hour
}

// fence is the least that a taking asks for.
func (a *actor) fence() uint64 {
	s := a.story
	n := a.random.Uint64N(4)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clocked && n > 0 {
		return uint64(time.Now().UnixMicro())
	}
	return min(s.seen+n*(n-1), backend.MaxFence/2)
}

// claim sends an attempt's claim, for the first time or again.
func (a *actor) claim(ctx context.Context, of *attempt) {
	s := a.story
	request := of.claim
	if a.random.IntN(3) == 0 {
		request.Fence = a.fence() // read anew at each send
	}
	sent := s.run.clock.before()
	record, err := a.store.Claim(ctx, s.key, request)
	s.answered(of, &request, sent, record, err)
	a.saw(record, err)
	a.count(err)
}

// renew sends a renewal, by an attempt that was told that it holds the key; by
// then it may have lost it.
func (a *actor) renew(ctx context.Context, of *attempt) {
	s := a.story
	request := of.claim
	request.Renewal = true
	request.Lease = a.between(s.run.lease, 2*s.run.lease).Round(time.Millisecond)
	s.mu.Lock()
	told := of.told
	request.Fence, request.Attempt = of.fence, of.number
	s.mu.Unlock()
	if !told {
		a.claim(ctx, of)
		return
	}
	sent := s.run.clock.before()
	record, err := a.store.Claim(ctx, s.key, request)
	s.answered(of, &request, sent, record, err)
	a.saw(record, err)
	a.count(err)
}

// commit ends an attempt's claim, whether it has one or not. LeaseHeld is said
// only where it is true.
func (a *actor) commit(ctx context.Context, of *attempt, ending backend.Ending) {
	s := a.story
	other, keep := a.random.IntN(6) == 0, a.long()
	s.mu.Lock()
	request := of.commit
	request.Attempt, request.Fence = of.number, of.fence
	request.LeaseHeld = of.told && s.run.clock.before() < of.heldTil
	s.mu.Unlock()
	switch {
	case ending != backend.Complete:
		request.Ending, request.Outcome, request.Retention, request.Keep = ending, nil, 0, keep
	case other:
		request.Outcome = append([]byte("another "), request.Outcome...)
	}
	a.count(a.store.Commit(ctx, s.key, request))
}

func (a *actor) fetch(ctx context.Context) {
	record, err := a.store.Fetch(ctx, a.story.key)
	a.saw(record, err)
}

func (a *actor) wait(ctx context.Context, of *attempt) {
	token := of.claim.Token
	if a.random.IntN(10) == 0 {
		token = backend.Token{}
	}
	ctx, cancel := context.WithTimeout(ctx, 6*a.story.run.lease)
	defer cancel()
	record, err := a.store.Wait(ctx, a.story.key, token)
	a.saw(record, err)
}

func (a *actor) saw(record backend.Record, err error) {
	if err == nil {
		a.last = record
		a.story.saw(record)
	}
}
