package linearizability

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// model is the contract of package backend for one key, as a machine.
type model struct {
	tolerance time.Duration
	names     names
	seed      maphash.Seed

	// steps counts down what the checker may spend: a clock can't end it, for
	// that of a bubble stands still while it works.
	steps atomic.Int64
}

func newModel(tolerance time.Duration, steps int64) *model {
	m := &model{tolerance: tolerance, names: names{}, seed: maphash.MakeSeed()}
	m.steps.Store(steps)
	return m
}

// spent tells whether the checker was stopped, so that its verdict means nothing.
func (m *model) spent() bool { return m.steps.Load() < 0 }

// outcome is one of the ways in which the contract lets an operation be applied.
type outcome struct {
	after state
	// changed: the operation did something. Where nobody knows whether it was
	// applied, the other outcomes are those of not having been.
	changed bool
	// reply is what a commit is told.
	reply reply
	// shown is the state of the record that the other verbs return.
	shown backend.State
	// left: the record's LeaseLeft is set, if it is claimed.
	left bool
}

// outcomes are all ways in which the operation can be applied to the state.
func (m *model) outcomes(s state, o *operation) []outcome {
	if !s.enter(o.from, o.to) {
		return nil
	}
	switch o.verb {
	case faults.Claim:
		return m.claim(s, o)
	case faults.Commit:
		return m.commit(s, o)
	case faults.Forget:
		return []outcome{{after: state{now: s.now}, changed: true}}
	default:
		return m.views(s, o)
	}
}

// step returns the states that the operation may leave, given its reply.
func (m *model) step(s state, o *operation) []state {
	if m.steps.Add(-1) < 0 {
		return nil
	}
	if o.reply == lost {
		// Not applied, or one of the effects.
		next := []state{s}
		for _, c := range m.outcomes(s, o) {
			if c.changed {
				next = append(next, c.after)
			}
		}
		return next
	}
	var next []state
	for _, c := range m.outcomes(s, o) {
		if m.told(&c, o) {
			next = append(next, c.after)
		}
	}
	return next
}

// told tells whether the outcome is what the caller was told, and narrows the
// state by the times that it was told.
func (m *model) told(c *outcome, o *operation) bool {
	switch o.verb {
	case faults.Forget:
		return true
	case faults.Commit:
		return c.reply == o.reply
	case faults.Wait:
		// Whatever was true then: this is what the caller waits to be over.
		if o.record.State == backend.Claimed && o.record.Token == o.token && !o.token.IsZero() {
			return false
		}
	}
	s, r := &c.after, &o.record
	if r.State != c.shown || r.Token != s.token || r.Attempt != s.attempt || r.Fence != s.fence ||
		string(r.Fingerprint) != s.fingerprint || string(r.Metadata) != s.metadata || string(r.Outcome) != s.outcome {
		return false
	}
	switch {
	case s.phase == unknown:
		return r.LeaseLeft == 0 && r.Remaining == 0
	case c.shown != backend.Claimed:
		if r.LeaseLeft != 0 {
			return false
		}
	case c.left:
		if r.LeaseLeft <= 0 || !s.left(r.LeaseLeft, s.lease, o.to, m.tolerance) {
			return false
		}
	}
	if o.verb == faults.Fetch {
		return r.Remaining > 0 && s.left(r.Remaining, s.end(), o.to, m.tolerance)
	}
	return true
}

// views are the ways in which an operation that changes nothing may find the
// record.
func (m *model) views(s state, o *operation) []outcome {
	var views []outcome
	if gone, ok := m.gone(s, o); ok {
		views = append(views, outcome{after: gone})
	}
	if kept, ok := m.kept(s); ok {
		views = append(views, m.shown(kept, o)...)
	}
	return views
}

// gone narrows the state to the key being unknown.
func (m *model) gone(s state, o *operation) (state, bool) {
	if s.phase != unknown && !s.over(s.end(), o.to, m.tolerance) {
		return s, false
	}
	return state{now: s.now}, true
}

// kept narrows the state to the key being known.
func (m *model) kept(s state) (state, bool) {
	return s, s.phase != unknown && s.due(s.end(), m.tolerance)
}

// shown are the ways in which a record that is kept may be seen.
func (m *model) shown(s state, o *operation) []outcome {
	switch s.phase {
	case claimed:
		var views []outcome
		if live, ok := m.live(s); ok {
			views = append(views, live)
		}
		if lapsed, ok := m.lapsed(s, o); ok {
			views = append(views, lapsed)
		}
		return views
	case ended:
		return []outcome{{after: s, shown: backend.Abandoned}}
	case completed:
		return []outcome{{after: s, shown: backend.Completed}}
	default:
		return []outcome{{after: s, shown: backend.Vacant}}
	}
}

func (m *model) live(s state) (outcome, bool) {
	ok := s.due(s.lease, m.tolerance)
	return outcome{after: s, shown: backend.Claimed, left: true}, ok
}

func (m *model) lapsed(s state, o *operation) (outcome, bool) {
	ok := s.over(s.lease, o.to, m.tolerance)
	return outcome{after: s, shown: backend.Abandoned}, ok
}

// porcupine is the model as the checker wants it.
func (m *model) porcupine() porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{}} },
		Step: func(from, input, _ any) []any {
			states := m.step(from.(state), input.(*operation))
			next := make([]any, len(states))
			for i, s := range states {
				next[i] = s
			}
			return next
		},
		Hash: func(s any) uint64 { return maphash.Comparable(m.seed, s.(state)) },
		DescribeOperation: func(input, _ any) string {
			o := input.(*operation)
			return o.request(m.names) + " → " + o.answer(m.names)
		},
		DescribeState: func(s any) string {
			at := s.(state)
			return at.describe(m.names)
		},
		DescribeOperationMetadata: func(any) string { return "" },
	}
	return nondeterministic.ToModel()
}
