package sqlitestore

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/reprise-go/reprise/backend"
)

// certain says what an error of everything before COMMIT means: nothing was
// changed, for the transaction is rolled back.
func (s *Store) certain(err error) error {
	if errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrSuperseded) || errors.Is(err, backend.ErrPermanent) || ofContext(err) {
		return err
	}
	select {
	case <-s.closed: // database/sql has no error value for that
		return fmt.Errorf("%w: %w", backend.ErrClosed, err)
	default:
	}
	kind := backend.ErrNotApplied // locked, disk full, out of memory, interrupted: it may be repeated
	switch code(err) {
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_AUTH, lib.SQLITE_CANTOPEN:
		kind = backend.ErrPermanent
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		kind = backend.ErrCorrupt
	case lib.SQLITE_TOOBIG:
		kind = backend.ErrTooLarge
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// uncertain says what an error of COMMIT means. Locked means that it didn't begin;
// after any other (an fsync that failed) nobody knows what the disk has, and none
// of the contract's errors may be claimed.
func uncertain(err error) error {
	if busy(err) {
		return fmt.Errorf("%w: %w", backend.ErrNotApplied, err)
	}
	return err
}

func busy(err error) bool {
	c := code(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED
}

// code is SQLite's primary result code; the driver returns extended ones, such as
// SQLITE_BUSY_SNAPSHOT, which have it in their lowest byte.
func code(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func ofContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func check(key string, request error) error {
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	return request
}

func failed(verb string, err error) error {
	return fmt.Errorf("sqlitestore: %s: %w", verb, err)
}

// within returns when the work is done or the ctx has ended. The driver watches
// the ctx while it waits for a lock, but a system call on a disk that hangs can't
// be ended by anybody: the work is left to itself then, which is why it must not
// use the caller's slices.
func within(ctx context.Context, verb string, work func() (backend.Record, error)) (backend.Record, error) {
	type result struct {
		record backend.Record
		err    error
	}
	done := make(chan result, 1)
	run := func() {
		record, err := work()
		done <- result{record, err}
	}
	if ctx.Done() == nil {
		run()
	} else {
		go run()
	}
	r := result{}
	select {
	case r = <-done:
	case <-ctx.Done():
		select {
		case r = <-done: // it had its answer
		default:
			r.err = ctx.Err()
		}
	}
	if r.err != nil {
		return backend.Record{}, failed(verb, r.err)
	}
	return r.record, nil
}
