package sqlitestore

import (
	"bytes"
	"context"

	"github.com/reprise-go/reprise/backend"
)

// Commit ends the claim that request.Token has on the key.
func (s *Store) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := check(key, request.Check()); err != nil {
		return failed("commit", err)
	}
	request.Fingerprint, request.Metadata = bytes.Clone(request.Fingerprint), bytes.Clone(request.Metadata) // see within
	request.Outcome = bytes.Clone(request.Outcome)
	_, err := within(ctx, "commit", func() (backend.Record, error) {
		return s.apply(ctx, key, func(r row, now int64) (row, action, error) { return commit(r, now, &request) })
	})
	return err
}

// commit is the contract's table for Commit.
func commit(r row, now int64, request *backend.CommitRequest) (row, action, error) {
	switch own := r.token == request.Token; {
	case r.unknown():
		return commitUnknown(now, request)
	case own && (r.state == claimed || r.state == abandoned): // lapsed or not: nobody has overtaken it
		return ended(r, now, request), storeAndWake, nil
	case own && r.state == completed && request.Ending == backend.Complete && bytes.Equal(r.outcome, request.Outcome):
		return r, nothing, nil
	case own && r.state == released && request.Ending == backend.Release:
		return r, nothing, nil
	default:
		return r, nothing, backend.ErrSuperseded
	}
}

// commitUnknown ends a claim that the store has forgotten, or has never seen.
func commitUnknown(now int64, request *backend.CommitRequest) (row, action, error) {
	r := row{
		token: request.Token, attempt: request.Attempt, fence: max(request.Fence, 1),
		fingerprint: request.Fingerprint, metadata: request.Metadata,
	}
	switch {
	case request.LeaseHeld, request.Ending == backend.Release: // a release leaves a trace for its own late claim to find
		return ended(r, now, request), storeAndWake, nil
	case request.Ending == backend.Abandon:
		return row{}, nothing, nil
	default: // another may have had the key, answered and been forgotten
		return row{}, nothing, backend.ErrSuperseded
	}
}

func ended(r row, now int64, request *backend.CommitRequest) row {
	switch request.Ending {
	case backend.Complete:
		r.outcome = request.Outcome
		return r.end(now, completed, request.Retention)
	case backend.Release:
		return r.end(now, released, request.Keep)
	default:
		return r.end(now, abandoned, request.Keep)
	}
}
