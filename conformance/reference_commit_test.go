package conformance

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/reprise-go/reprise/backend"
)

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
	if !s.is("no push on "+request.Ending.String()) && !(s.is("pushes don't carry odd keys") && strings.ContainsFunc(key, odd)) {
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
			case "lease and retention swapped":
				from.end = s.clock.now() + long
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
		case "a commit drops the metadata":
			from.record.Metadata = nil
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

// odd tells the characters that a careless protocol trips over; a byte that is no
// UTF-8 is one.
func odd(r rune) bool { return r == 0 || r == '\r' || r == '\n' || r == utf8.RuneError }
