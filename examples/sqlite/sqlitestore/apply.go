package sqlitestore

import (
	"context"
	"database/sql"

	"github.com/reprise-go/reprise/backend"
)

// action is what a verb does to a row.
type action int

const (
	nothing action = iota
	store
	storeAndWake
)

// apply does what decide says of the key's row. It decides on a plain look first:
// what would change nothing (a replay, a lost claim, a commit that is refused) is
// answered from there and takes no lock. What would change something is decided
// again under the lock, where the row can't change any more.
func (s *Store) apply(ctx context.Context, key string, decide func(row, int64) (row, action, error)) (backend.Record, error) {
	if err := s.usable(ctx); err != nil {
		return backend.Record{}, err
	}
	r, now, err := s.look(ctx, key)
	if err != nil {
		return backend.Record{}, s.certain(err)
	}
	if r, do, err := decide(r, now); do == nothing || err != nil {
		return r.record(now), err
	}
	do := nothing
	err = s.change(ctx, func(tx *sql.Tx) error {
		if r, now, err = read(ctx, txStatement(ctx, tx, s.write.clock), txStatement(ctx, tx, s.write.look), key); err != nil {
			return err
		}
		if r, do, err = decide(r.known(now), now); do == nothing || err != nil {
			return err
		}
		if err := s.store(ctx, tx, key, r, now); err != nil || do == store {
			return err
		}
		return s.announce(ctx, tx, key)
	})
	if err != nil {
		return backend.Record{}, err
	}
	if do == storeAndWake {
		s.waiters.wake(key)
	}
	return r.record(now), nil
}

// change runs the statements in one transaction that holds SQLite's write lock
// from its beginning (_txlock=immediate). A transaction that begins by reading
// and asks for the lock later is refused when another has written in between,
// and no busy timeout helps it.
func (s *Store) change(ctx context.Context, statements func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.certain(err)
	}
	defer tx.Rollback()
	if err := statements(tx); err != nil {
		return s.certain(err) // rolled back
	}
	if err := tx.Commit(); err != nil {
		return uncertain(err)
	}
	return nil
}

func (s *Store) store(ctx context.Context, tx *sql.Tx, key string, r row, now int64) error {
	if _, err := txStatement(ctx, tx, s.write.sweep).ExecContext(ctx, now); err != nil {
		return err
	}
	_, err := txStatement(ctx, tx, s.write.write).ExecContext(ctx, []byte(key), r.state, r.token[:], r.attempt, int64(r.fence),
		r.keep, r.leaseEnd, r.forgetAt, r.fingerprint, r.metadata, r.outcome)
	return err
}

// announce writes the wake-up in the transaction that it announces: neither is
// there without the other.
func (s *Store) announce(ctx context.Context, tx *sql.Tx, key string) error {
	result, err := txStatement(ctx, tx, s.write.wake).ExecContext(ctx, []byte(key))
	if err != nil {
		return err
	}
	id, err := result.LastInsertId()
	if err != nil {
		return err
	}
	_, err = txStatement(ctx, tx, s.write.trim).ExecContext(ctx, id)
	return err
}

func txStatement(ctx context.Context, tx *sql.Tx, statement *sql.Stmt) *sql.Stmt {
	return tx.StmtContext(ctx, statement)
}
