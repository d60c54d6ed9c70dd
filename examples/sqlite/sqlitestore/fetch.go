package sqlitestore

import (
	"context"
	"database/sql"

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

// look reads a row without a lock: as of the last commit before it began.
func (s *Store) look(ctx context.Context, key string) (row, int64, error) {
	return read(ctx, s.read.clock, s.read.look, key)
}

// read asks for the time first and the row second, in two statements. The other
// way round, or in one, a holder that renews in between is called abandoned: the
// row is from before its renewal, and the time from after its old lease.
func read(ctx context.Context, clock, look *sql.Stmt, key string) (row, int64, error) {
	var now int64
	if err := clock.QueryRowContext(ctx).Scan(&now); err != nil {
		return row{}, 0, err
	}
	r, err := scan(look.QueryRowContext(ctx, []byte(key)), now)
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
