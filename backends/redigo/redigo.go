package redigo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/gather"
	"github.com/reprise-go/reprise/backends/internal/hub"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/internal/workers"
)

// Options are the options of [New]; the zero value is ready for use.
type Options struct {
	// Prefix begins the name of every key and channel that the backend uses, so
	// that applications can share a server: at most 64 bytes, without braces.
	// All processes that share records must have the same. Empty: "reprise:".
	Prefix string
}

// Backend keeps records in Redis. It is safe for concurrent use.
type Backend struct {
	pool    *redis.Pool
	layout  wire.Layout
	hub     *hub.Hub
	workers workers.Pool
	gate    gate
	loaded  loaded
	calls   sync.Pool   // of *call
	greeted atomic.Bool // the server is known to be one that this package can use
	wrapped atomic.Bool // the pool's connections can't be interrupted
	dials   atomic.Int32
	getting sync.Mutex // see idleConn
	closed  atomic.Bool

	underWay atomic.Int64 // exchanges
	gatherer *gather.Gatherer[*call]
	// How many exchanges under way make claims, and commits, be sent together.
	claims, commits int64
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Forgetter = (*Backend)(nil)
	_ io.Closer         = (*Backend)(nil)
)

// New makes a backend that works through the pool, which stays the caller's to
// configure and, after the backend's, to close. It doesn't connect. The errors of
// a nil pool, of one that can't dial and of options out of their bounds are
// [backend.ErrInvalid].
func New(pool *redis.Pool, options Options) (*Backend, error) {
	if pool == nil {
		return nil, invalid("pool is nil")
	}
	if pool.Dial == nil && pool.DialContext == nil {
		return nil, invalid("pool.DialContext and pool.Dial are nil, want one of them")
	}
	layout, err := wire.NewLayout(options.Prefix)
	if err != nil {
		return nil, fmt.Errorf("redigo: %w", err)
	}
	b := &Backend{pool: pool, layout: layout, claims: gather.Crowd(true), commits: gather.Crowd(false)}
	b.gatherer = gather.New(b.drive)
	b.hub = hub.New(b.look, func(h *hub.Hub) hub.Subscriber {
		return hub.NewConns(h, hub.ConnsOptions{Dial: b.dialSubscription})
	})
	return b, nil
}

// Close wakes everybody who waits with [backend.ErrClosed] and closes the
// connection that carries the wake-ups. The pool stays open. Closing again does
// nothing.
func (b *Backend) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.hub.Close()
		b.workers.Close()
		b.gate.wait(closePatience)
	}
	return nil
}

// check is what every verb begins with.
func (b *Backend) check(ctx context.Context, op, key string) error {
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	if b.closed.Load() {
		return &wire.Error{Op: op, Class: backend.ErrClosed}
	}
	if err := ended(ctx); err != nil {
		return &wire.Error{Op: op, Class: backend.ErrNotApplied, Err: err}
	}
	return nil
}

// Wait implements [backend.Backend]. Those who wait for one key share a look at
// its record, and all who wait share one connection; none of the pool is held.
func (b *Backend) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	if err := b.check(ctx, opWait, key); err != nil {
		return backend.Record{}, err
	}
	record, err := b.hub.Wait(ctx, b.layout.Channel(key), token)
	if err != nil {
		if known := (*wire.Error)(nil); !errors.As(err, &known) {
			err = &wire.Error{Op: opWait, Err: err}
		}
		return backend.Record{}, err
	}
	record.Remaining = 0
	return record, nil
}

func invalid(text string) error {
	return fmt.Errorf("redigo: %s: %w", text, backend.ErrInvalid)
}
