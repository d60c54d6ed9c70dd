package sqlitestore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

// Claim takes the key for request.Token, or extends its lease.
func (s *Store) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := check(key, request.Check()); err != nil {
		return backend.Record{}, failed("claim", err)
	}
	request.Fingerprint, request.Metadata = bytes.Clone(request.Fingerprint), bytes.Clone(request.Metadata) // see within
	return within(ctx, "claim", func() (backend.Record, error) {
		return s.apply(ctx, key, func(r row, now int64) (row, action, error) { return claim(r, now, &request) })
	})
}

// claim is the contract's table for Claim, row by row: what r becomes, and whether
// it changes at all.
func claim(r row, now int64, request *backend.ClaimRequest) (row, action, error) {
	switch own := r.token == request.Token; {
	case r.unknown() && request.Renewal: // the store forgot; the holder brings what it knows
		return taken(request, request.Attempt, request.Fence).hold(now, request.Lease), store, nil
	case r.unknown() && request.Seen == 0:
		return taken(request, 1, max(request.Fence, 1)).hold(now, request.Lease), store, nil
	case own && r.state == claimed: // sent again, or renewed: lapsed or not, nobody has overtaken it
		return r.hold(now, request.Lease), store, nil
	case !own && !request.Renewal && r.free(now) && r.fence == request.Seen:
		if r.fence == backend.MaxFence-1 {
			return r, nothing, fmt.Errorf("%w: the key has no fence left", backend.ErrPermanent)
		}
		return taken(request, r.attempt+1, max(r.fence+1, request.Fence)).hold(now, request.Lease), store, nil
	default: // lost, ended by its own token, or not what was seen
		return r, nothing, nil
	}
}

// taken is a row of the request's: nothing of an earlier holder stays in it.
func taken(request *backend.ClaimRequest, attempt uint32, fence uint64) row {
	return row{
		token: request.Token, attempt: attempt, fence: fence, keep: backend.Milliseconds(request.Keep),
		fingerprint: request.Fingerprint, metadata: request.Metadata,
	}
}
