package sqlitestore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/reprise-go/reprise/backend"
)

// Fetch reads the record.
func (s *Store) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := check(key, nil); err != nil {
		return backend.Record{}, failed("fetch", err)
	}
	return within(ctx, "fetch", func() (backend.Record, error) { return s.fetch(ctx, key) })
}

func (s *Store) fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := s.usable(ctx); err != nil {
		return backend.Record{}, err
	}
	r, now, err := s.look(ctx, key)
	if err != nil {
		return backend.Record{}, s.certain(err)
	}
	return r.record(now), nil
}

// look reads a row without a lock. The row is as of the moment when the statement
// began, and the time is a little later: long enough, if the process is paused in
// between, for the holder to renew, so that a lease that seems to be over may not
// have been over at any time. What seems to be over is looked at again: if it is
// still there and unchanged, its time had passed when the second look began.
func (s *Store) look(ctx context.Context, key string) (row, int64, error) {
	var before row
	for {
		r, now, err := read(ctx, s.read.clock, s.read.look, key)
		over := r.lapsed(now) || r.forgotten(now)
		if err != nil || !over || r.sameTimes(before) {
			return r.known(now), now, err
		}
		before = r
	}
}

// sameTimes: the fence tells holders apart, and a renewal moves the lease's end.
func (r row) sameTimes(other row) bool {
	return r.fence == other.fence && r.leaseEnd == other.leaseEnd && r.forgetAt == other.forgetAt
}

// read is the row, however old, and the time.
func read(ctx context.Context, clock, look *sql.Stmt, key string) (row, int64, error) {
	r, now, err := scan(look.QueryRowContext(ctx, []byte(key)))
	if errors.Is(err, sql.ErrNoRows) {
		err = clock.QueryRowContext(ctx).Scan(&now)
	}
	return r, now, err
}

// Forget removes what the store knows of the key and wakes everybody who waits
// for it.
func (s *Store) Forget(ctx context.Context, key string) error {
	if err := check(key, nil); err != nil {
		return failed("forget", err)
	}
	_, err := within(ctx, "forget", func() (backend.Record, error) { return backend.Record{}, s.forget(ctx, key) })
	return err
}

func (s *Store) forget(ctx context.Context, key string) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	err := s.change(ctx, func(tx *sql.Tx) error {
		if _, err := txStatement(ctx, tx, s.write.forget).ExecContext(ctx, []byte(key)); err != nil {
			return err
		}
		return s.announce(ctx, tx, key)
	})
	if err == nil {
		s.waiters.wake(key)
	}
	return err
}
