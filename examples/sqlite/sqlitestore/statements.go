package sqlitestore

import (
	"context"
	"database/sql"
)

const (
	// madeSQL asks for the table that schema.sql makes last.
	madeSQL = `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'reprise_wakeups')`

	// clock is the store's, in whole milliseconds, rounded down. The round mends
	// what the floating point number lacks, it rounds no time.
	clock = `CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)`

	lookSQL = `SELECT ` + clock + `,
		format, state, token, attempt, fence, keep, lease_end, forget_at, fingerprint, metadata, outcome
		FROM reprise_records WHERE key = ?`

	// clockSQL is for a key that has no row to put the time beside.
	clockSQL = `SELECT ` + clock

	writeSQL = `REPLACE INTO reprise_records
		(key, format, state, token, attempt, fence, keep, lease_end, forget_at, fingerprint, metadata, outcome)
		VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	forgetSQL = `DELETE FROM reprise_records WHERE key = ?`

	// sweepSQL takes a few at a time, so that no caller pays for a day's leftovers,
	// and leaves rows alone whose format it can't know.
	sweepSQL = `DELETE FROM reprise_records WHERE rowid IN
		(SELECT rowid FROM reprise_records WHERE forget_at < ? AND format = 1 LIMIT 4)`

	wakeSQL = `INSERT INTO reprise_wakeups (key) VALUES (?)`

	// trimSQL keeps the log short. Who is behind by more sees the gap.
	trimSQL = `DELETE FROM reprise_wakeups WHERE id <= ? - 1000`

	// dataVersionSQL changes when another connection has committed.
	dataVersionSQL = `PRAGMA data_version`

	lastWakeupSQL = `SELECT coalesce(max(id), 0) FROM reprise_wakeups`

	wakeupsSQL = `SELECT id, key FROM reprise_wakeups WHERE id > ? ORDER BY id`
)

// statements are prepared once: SQLite spends longer on parsing one than on
// running it.
type statements struct {
	clock, look, write, forget, sweep, wake, trim *sql.Stmt
}

// prepare also finds out whether the tables have the columns that are meant.
func prepare(ctx context.Context, db *sql.DB) (s statements, err error) {
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&s.clock, clockSQL}, {&s.look, lookSQL}, {&s.write, writeSQL}, {&s.forget, forgetSQL},
		{&s.sweep, sweepSQL}, {&s.wake, wakeSQL}, {&s.trim, trimSQL},
	} {
		if *p.into, err = db.PrepareContext(ctx, p.text); err != nil {
			return statements{}, err
		}
	}
	return s, nil
}
