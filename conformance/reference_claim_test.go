package conformance

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/backend"
)

func (p *process) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		if p.is("errors are reported as not acquired") && !errors.Is(err, backend.ErrInvalid) && !errors.Is(err, backend.ErrClosed) {
			return backend.Record{State: backend.Claimed, Attempt: 1, Fence: 1, LeaseLeft: time.Second}, nil
		}
		if p.is("a time-out is called not applied") && errors.Is(err, errSilent) {
			go p.late(key, request)
			return backend.Record{}, errors.Join(err, backend.ErrNotApplied)
		}
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
	s.skew = p.skew
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

// late applies a claim when the store answers again.
func (p *process) late(key string, request backend.ClaimRequest) {
	p.reference.mu.Lock()
	silenced := p.silenced
	p.reference.mu.Unlock()
	<-silenced
	_, _ = p.Claim(context.Background(), key, request)
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
