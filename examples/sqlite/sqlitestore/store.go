package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/reprise-go/reprise/backend"
)

//go:embed schema.sql
var schema string

// Options are the options of [Open]. The zero value is the default.
type Options struct {
	// PollInterval is how often a Store that somebody waits on asks whether
	// another process, or another Store, has changed the file. Waiters of the
	// Store that commits are woken without it. Zero: 5 ms; otherwise from 1 ms to
	// 1 s.
	PollInterval time.Duration
	// LockTimeout is how long a verb waits for another process's transaction, if
	// its ctx doesn't end before; then it returns a backend.ErrNotApplied. Zero:
	// 5 s; otherwise from 1 ms to 1 min.
	LockTimeout time.Duration
}

func (o *Options) check() error {
	if o.PollInterval == 0 {
		o.PollInterval = 5 * time.Millisecond
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 5 * time.Second
	}
	switch {
	case o.PollInterval < time.Millisecond || o.PollInterval > time.Second:
		return fmt.Errorf("sqlitestore: Options.PollInterval is %v, must be from 1ms to 1s", o.PollInterval)
	case o.LockTimeout < time.Millisecond || o.LockTimeout > time.Minute:
		return fmt.Errorf("sqlitestore: Options.LockTimeout is %v, must be from 1ms to 1m", o.LockTimeout)
	}
	return nil
}

// Store is a backend.Backend, a backend.Forgetter and an io.Closer. All methods
// may be called by many goroutines at once.
type Store struct {
	writer *sql.DB // one connection: callers queue for it in Go, where a ctx can end the queueing
	reader *sql.DB // for everything that takes no lock
	read   statements
	write  statements

	waiters   waiters
	closed    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

var (
	_ backend.Backend   = (*Store)(nil)
	_ backend.Forgetter = (*Store)(nil)
)

// readers bounds the reading connections: one for the goroutine that follows
// changes, the others for looks.
const readers = 7

// Open opens the store in the file, and makes the file and the tables where they
// aren't there yet. Close ends it.
func Open(file string, options Options) (*Store, error) {
	return open(file, options, func(c driver.Connector) driver.Connector { return c })
}

// open lets the tests stand between database/sql and the driver.
func open(file string, options Options, wrap func(driver.Connector) driver.Connector) (_ *Store, err error) {
	if err := options.check(); err != nil {
		return nil, err
	}
	if file == "" || file == ":memory:" {
		// Each connection would get a database of its own.
		return nil, errors.New("sqlitestore: a file is needed, a database in memory can't be shared")
	}
	connector, err := sqlite.NewConnector(dataSource(file, options))
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	connector = wrap(connector)
	s := &Store{writer: sql.OpenDB(connector), reader: sql.OpenDB(connector), closed: make(chan struct{})}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for db, connections := range map[*sql.DB]int{s.writer: 1, s.reader: readers} {
		db.SetMaxOpenConns(connections)
		db.SetMaxIdleConns(connections)
	}
	s.waiters.follow = func(ctx context.Context) { s.follow(ctx, options.PollInterval) }

	ctx := context.Background() // the busy timeout bounds what is done here
	if err := s.createTables(ctx, options.LockTimeout); err != nil {
		return nil, failed("open", s.certain(err))
	}
	if s.write, err = prepare(ctx, s.writer); err == nil {
		s.read, err = prepare(ctx, s.reader)
	}
	if code(err) == lib.SQLITE_ERROR { // IF NOT EXISTS is content with any table of that name
		err = fmt.Errorf("%w: the tables are not this package's: %w", backend.ErrCorrupt, err)
	}
	if err != nil {
		return nil, failed("open", s.certain(err))
	}
	return s, nil
}

// dataSource names the file and what each connection to it is set to.
func dataSource(file string, options Options) string {
	path := (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() // a ? or % in it would begin the parameters
	return "file:" + path + "?" + url.Values{
		"_txlock":       {"immediate"}, // see change
		"_busy_timeout": {fmt.Sprint(options.LockTimeout.Milliseconds())},
		"_synchronous":  {"FULL"}, // NORMAL forgets the last commits when the power fails
	}.Encode()
}

// createTables makes the file a WAL database with our tables, where it isn't yet:
// a process that starts must not need a lock that another one holds.
func (s *Store) createTables(ctx context.Context, patience time.Duration) error {
	if err := s.useWAL(ctx, patience); err != nil {
		return err
	}
	var made bool
	if err := s.writer.QueryRowContext(ctx, madeSQL).Scan(&made); err != nil || made {
		return err
	}
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	return tx.Commit()
}

// useWAL sets what is a property of the file, and so not of the connection. Where
// two processes change it together one is refused with SQLITE_BUSY at once,
// whatever the busy timeout, so that it is repeated.
func (s *Store) useWAL(ctx context.Context, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var mode string
		err := s.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode)
		switch {
		case err == nil && mode != "wal":
			return fmt.Errorf("%w: the file can't be used in WAL mode, only in mode %s", backend.ErrPermanent, mode)
		case err == nil, !busy(err), time.Now().After(deadline):
			return err
		}
	}
}

// Close wakes everybody who waits and closes the connections; those that a verb
// is using are closed when it has returned. Closing again does nothing.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closed)
		s.waiters.stop()
		s.closeErr = errors.Join(s.writer.Close(), s.reader.Close())
	})
	return s.closeErr
}

// usable is what every verb asks first.
func (s *Store) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return backend.ErrClosed
	default:
		return ctx.Err()
	}
}
