package sqlitestore

import (
	"context"
	"database/sql"
	"time"
)

// follow wakes those who wait for what other connections write to the file, until
// the ctx ends. SQLite has no push, so that it asks, at every interval, the
// cheapest question there is: whether anybody has committed since the last time.
func (s *Store) follow(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if conn, err := s.reader.Conn(ctx); err == nil {
			s.followOn(ctx, conn, ticker.C)
			conn.Close()
		}
		if ctx.Err() != nil {
			return
		}
		// What was written from now until the next beginning goes unheard, but a
		// beginning wakes everybody. Whoever waits learns the error from its own look.
		s.waiters.wakeAll()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(interval, 100*time.Millisecond)):
		}
	}
}

// followOn follows on one connection, because data_version is the connection's: it
// changes when another one has committed. Its statements are not given the ctx,
// which would cost the driver a goroutine for each, and they wait for nothing; and
// they are not prepared, because one that outlives its connection is a crash in
// the driver, and parsing this little costs less than being careful.
func (s *Store) followOn(ctx context.Context, conn *sql.Conn, tick <-chan time.Time) error {
	quiet := context.WithoutCancel(ctx)
	// The version first and the log second: what is committed between the two is
	// looked for again, not missed.
	version, err := number(quiet, conn, dataVersionSQL)
	if err != nil {
		return err
	}
	last, err := number(quiet, conn, lastWakeupSQL)
	if err != nil {
		return err
	}
	// Who registered before this moment has looked, perhaps, before a commit that
	// the log's end is already behind.
	s.waiters.wakeAll()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		}
		before := version
		if version, err = number(quiet, conn, dataVersionSQL); err != nil {
			return err
		}
		if version == before {
			continue
		}
		if last, err = s.wakeFrom(quiet, conn, last); err != nil {
			return err
		}
	}
}

func number(ctx context.Context, conn *sql.Conn, query string) (n int64, err error) {
	err = conn.QueryRowContext(ctx, query).Scan(&n)
	return n, err
}

// wakeFrom wakes those who wait for keys that were logged after last, and returns
// the log's end.
func (s *Store) wakeFrom(ctx context.Context, conn *sql.Conn, last int64) (int64, error) {
	rows, err := conn.QueryContext(ctx, wakeupsSQL, last)
	if err != nil {
		return last, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var key sql.RawBytes
		if err := rows.Scan(&id, &key); err != nil {
			return last, err
		}
		if id != last+1 {
			s.waiters.wakeAll() // the log was trimmed before we came by
		}
		last = id
		s.waiters.wake(string(key))
	}
	return last, rows.Err()
}
