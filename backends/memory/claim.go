package memory

import (
	"math"

	"github.com/reprise-go/reprise/backend"
)

// claim is the table of Claim in package backend, row by row. It returns the
// record as it stands afterwards, nil for an unknown key. The caller holds the
// lock.
func (s *shard) claim(hash uint64, key string, request *backend.ClaimRequest, now int64) (*record, error) {
	r := s.find(hash, key, now)
	switch {
	case r == nil && request.Renewal:
		return s.take(hash, key, request, request.Attempt, request.Fence, now), nil

	case r == nil && request.Seen == 0:
		return s.take(hash, key, request, 1, max(request.Fence, 1), now), nil

	case r == nil:
		return nil, nil

	case r.token == request.Token:
		if r.phase == claimed {
			s.extend(r, int64(request.Lease), now)
		}
		return r, nil

	case request.Renewal, r.phase == completed, r.live(now), r.fence != request.Seen:
		return r, nil
	}

	fence := max(r.fence+1, request.Fence)
	if fence >= backend.MaxFence {
		return nil, errFenceSpent
	}
	attempt := r.attempt
	if attempt < math.MaxUint32 {
		attempt++
	}
	s.unlink(hash, r)
	taken := s.take(hash, key, request, attempt, fence, now)
	r.wake(taken.look(now))
	return taken, nil
}

// take stores a new claimed record, in the place of whatever the key had.
func (s *shard) take(hash uint64, key string, request *backend.ClaimRequest, attempt uint32, fence uint64, now int64) *record {
	r := newRecord(key, request.Token, request.Fingerprint, request.Metadata)
	r.attempt = attempt
	r.fence = fence
	r.leaseEnd = now + int64(request.Lease)
	s.insert(hash, r, r.leaseEnd+int64(request.Keep), now)
	return r
}

// extend gives a claimed record a new lease, shorter or longer than the old one.
func (s *shard) extend(r *record, lease, now int64) {
	keep := r.forgetAt - r.leaseEnd
	before, end := r.look(now), now+lease
	earlier := end < r.leaseEnd
	r.leaseEnd = end
	s.file(r, end+keep, now)
	switch {
	case before.state == backend.Abandoned:
		// Nobody held the key for a moment: those who waited through it have
		// what they waited for, even if they didn't get to look in time.
		r.wake(before)
	case earlier:
		r.wakeToLook()
	}
}
