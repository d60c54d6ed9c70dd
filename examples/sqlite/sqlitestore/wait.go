package sqlitestore

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Wait returns once the key isn't held by token under a live lease.
func (s *Store) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	record, err := s.Fetch(ctx, key)
	if err != nil || !heldBy(record, token) {
		return record, err // nobody needs to be told of anything
	}
	// Register, look, sleep, in this order: a commit before the look is seen by it,
	// and one after it finds the registration.
	w := s.waiters.join(key)
	defer s.waiters.leave(w)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		record, err := s.Fetch(ctx, key)
		if err != nil || !heldBy(record, token) {
			return record, err
		}
		timer.Reset(min(record.LeaseLeft, backend.MaxSleep)) // a holder that died wakes nobody
		select {
		case <-w.wake:
		case <-timer.C:
		case <-s.closed:
			return backend.Record{}, failed("wait", backend.ErrClosed)
		case <-ctx.Done():
			return backend.Record{}, failed("wait", ctx.Err())
		}
	}
}

// heldBy is never true for the zero token, which holds nothing.
func heldBy(record backend.Record, token backend.Token) bool {
	return record.State == backend.Claimed && record.Token == token
}
