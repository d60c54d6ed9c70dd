package linearizability

import (
	"github.com/reprise-go/reprise/backend"
)

// claim is the table of Claim in package backend.
func (m *model) claim(s state, o *operation) []outcome {
	r := &o.claim
	var all []outcome
	if gone, ok := m.gone(s, o); ok {
		switch {
		case r.Renewal:
			all = append(all, taken(gone, o, r.Attempt, r.Fence))
		case r.Seen == 0:
			all = append(all, taken(gone, o, 1, max(r.Fence, 1)))
		default:
			all = append(all, outcome{after: gone})
		}
	}
	kept, ok := m.kept(s)
	if !ok {
		return all
	}
	own := kept.token == r.Token
	take := func(from outcome) outcome {
		if own || r.Renewal || from.after.phase == completed || from.after.fence != r.Seen {
			return from
		}
		return taken(from.after, o, from.after.attempt+1, max(from.after.fence+1, r.Fence))
	}
	switch {
	case kept.phase == claimed && own:
		// Running or lapsed is the same.
		kept.setLo, kept.setHi, kept.lease = kept.now, o.to, r.Lease
		all = append(all, outcome{after: kept, changed: true, shown: backend.Claimed})
	case kept.phase == claimed:
		if live, ok := m.live(kept); ok {
			all = append(all, live)
		}
		if lapsed, ok := m.lapsed(kept, o); ok {
			all = append(all, take(lapsed))
		}
	default:
		for _, view := range m.shown(kept, o) {
			all = append(all, take(view))
		}
	}
	return all
}

// taken is the key in the hands of the request's token.
func taken(s state, o *operation, attempt uint32, fence uint64) outcome {
	r := &o.claim
	return outcome{
		changed: true, shown: backend.Claimed,
		after: state{
			phase: claimed, token: r.Token, attempt: attempt, fence: fence,
			fingerprint: string(r.Fingerprint), metadata: string(r.Metadata),
			setLo: s.now, setHi: o.to, lease: r.Lease, life: r.Keep, now: s.now,
		},
	}
}

// commit is the table of Commit in package backend.
func (m *model) commit(s state, o *operation) []outcome {
	r := &o.commit
	var all []outcome
	if gone, ok := m.gone(s, o); ok {
		created := gone
		created.token, created.attempt, created.fence = r.Token, r.Attempt, max(r.Fence, 1)
		created.fingerprint, created.metadata = string(r.Fingerprint), string(r.Metadata)
		switch {
		case r.LeaseHeld, r.Ending == backend.Release:
			all = append(all, finished(created, o))
		case r.Ending == backend.Abandon:
			all = append(all, outcome{after: gone})
		default:
			all = append(all, outcome{after: gone, reply: superseded})
		}
	}
	kept, ok := m.kept(s)
	if !ok {
		return all
	}
	refused := outcome{after: kept, reply: superseded}
	unchanged := outcome{after: kept}
	switch {
	case kept.token != r.Token:
		return append(all, refused)
	case kept.phase == completed:
		if r.Ending == backend.Complete && string(r.Outcome) == kept.outcome {
			return append(all, unchanged)
		}
		return append(all, refused)
	case kept.phase == released:
		if r.Ending != backend.Release {
			return append(all, refused)
		}
		// Whether the record is kept for the new Keep is the store's choice.
		return append(all, unchanged, finished(kept, o))
	default:
		return append(all, finished(kept, o))
	}
}

// finished is the record as the request ends it.
func finished(s state, o *operation) outcome {
	r := &o.commit
	s.setLo, s.setHi, s.lease, s.life = s.now, o.to, 0, r.Keep
	switch r.Ending {
	case backend.Complete:
		s.phase, s.outcome, s.life = completed, string(r.Outcome), r.Retention
	case backend.Release:
		s.phase = released
	case backend.Abandon:
		s.phase = ended
	}
	return outcome{after: s, changed: true}
}
