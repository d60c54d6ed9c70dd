package linearizability

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// phase is what a write leaves of a key; the rest of its state is the clock's.
type phase uint8

const (
	unknown   phase = iota // never written, or forgotten
	claimed                // its lease running or lapsed
	ended                  // by Abandon
	released               // vacant, its token dead
	completed              // final
)

// state is what one order of the operations so far makes of a key. It is
// comparable, so that equal ones are found by ==.
type state struct {
	phase                          phase
	token                          backend.Token
	attempt                        uint32
	fence                          uint64
	fingerprint, metadata, outcome string

	// The record's times count from a moment, on the store's clock, that isn't
	// known better than this.
	setLo, setHi time.Duration
	lease        time.Duration // claimed: its end, after that moment
	life         time.Duration // when the record is forgotten, after the lease's end

	// now is a moment before which nothing that follows can have been applied.
	now time.Duration
}

// enter brings the state to an operation: what is applied by it was applied
// between from and to, and whatever set the record was applied before. It reports
// false where that can't be.
func (s *state) enter(from, to time.Duration) bool {
	s.now = max(s.now, from)
	if s.now > to {
		return false
	}
	if s.phase != unknown {
		s.setHi = min(s.setHi, to)
	}
	return true
}

// over narrows the state to those in which d after its times were set had come
// when an operation was applied that was answered before to.
func (s *state) over(d, to, tolerance time.Duration) bool {
	if to+tolerance < s.setLo+d {
		return false
	}
	s.setHi = min(s.setHi, to+tolerance-d)
	s.now = max(s.now, s.setLo+d-tolerance)
	return true
}

// due narrows the state to those in which it hadn't.
func (s *state) due(d, tolerance time.Duration) bool {
	if s.now > s.setHi+d+tolerance {
		return false
	}
	s.setLo = max(s.setLo, s.now-d-tolerance)
	return true
}

// left narrows the state to those in which what was left of d was so much, when
// it was told by an operation that was answered before to.
func (s *state) left(told, d, to, tolerance time.Duration) bool {
	lo, hi := s.now+told-d-tolerance, forever
	if to < forever {
		hi = to + told - d + tolerance
	}
	if lo > s.setHi || hi < s.setLo {
		return false
	}
	s.setLo, s.setHi = max(s.setLo, lo), min(s.setHi, hi)
	return true
}

// end is when the record is forgotten, after its times were set.
func (s *state) end() time.Duration { return s.lease + s.life }

// record is the state as a caller sees it.
func (s *state) record(shown backend.State) backend.Record {
	if s.phase == unknown {
		return backend.Record{}
	}
	return backend.Record{
		State: shown, Token: s.token, Attempt: s.attempt, Fence: s.fence, Fingerprint: []byte(s.fingerprint),
		Metadata: []byte(s.metadata), Outcome: []byte(s.outcome),
	}
}

// describe shows the state to people.
func (s *state) describe(n names) string {
	lease := ""
	shown := backend.Vacant
	switch s.phase {
	case claimed:
		shown = backend.Claimed
		lease = " its lease ends " + between(s.setLo+s.lease, s.setHi+s.lease) + ","
	case ended:
		shown = backend.Abandoned
	case completed:
		shown = backend.Completed
	case unknown:
		return "unknown key"
	}
	return fmt.Sprintf("%s,%s forgotten %s", describe(s.record(shown), n), lease, between(s.setLo+s.end(), s.setHi+s.end()))
}

// between shows what is known of a moment.
func between(lo, hi time.Duration) string {
	switch {
	case hi >= forever:
		return fmt.Sprintf("at %v or later", rounded(lo))
	case rounded(lo) == rounded(hi):
		return fmt.Sprintf("at %v", rounded(lo))
	default:
		return fmt.Sprintf("between %v and %v", rounded(lo), rounded(hi))
	}
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
