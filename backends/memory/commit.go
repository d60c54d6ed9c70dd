package memory

import "github.com/reprise-go/reprise/backend"

// commit is the table of Commit in package backend. The caller holds the lock.
func (s *shard) commit(hash uint64, key string, request *backend.CommitRequest, now int64) error {
	r := s.find(hash, key, now)
	if r == nil {
		return s.commitUnknown(hash, key, request, now)
	}
	if r.token != request.Token {
		return errSuperseded
	}
	switch r.phase {
	case completed:
		if request.Ending == backend.Complete && r.outcome == string(request.Outcome) {
			return nil
		}
		return errSuperseded
	case released:
		if request.Ending == backend.Release {
			return nil
		}
		return errSuperseded
	}
	s.file(r, now+r.end(request), now)
	r.wake(r.look(now))
	return nil
}

// commitUnknown ends a claim that the store has forgotten, or never had.
func (s *shard) commitUnknown(hash uint64, key string, request *backend.CommitRequest, now int64) error {
	if !request.LeaseHeld {
		switch request.Ending {
		case backend.Complete:
			return errSuperseded
		case backend.Abandon:
			return nil
		}
	}
	r := newRecord(key, request.Token, request.Fingerprint, request.Metadata)
	r.attempt = request.Attempt
	r.fence = max(request.Fence, 1)
	s.insert(hash, r, now+r.end(request), now)
	return nil
}

// end ends the claim and returns how long the record stays.
func (r *record) end(request *backend.CommitRequest) int64 {
	switch request.Ending {
	case backend.Complete:
		r.phase = completed
		r.outcome = string(request.Outcome)
		return int64(request.Retention)
	case backend.Release:
		r.phase = released
	case backend.Abandon:
		r.phase = ended
	}
	return int64(request.Keep)
}
