package goredis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"

	redislib "github.com/redis/go-redis/v9"

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
	client  redislib.UniversalClient
	single  *redislib.Client // the client where it is one, otherwise nil
	retries retries
	layout  wire.Layout
	hub     *hub.Hub
	workers workers.Pool
	loaded  loaded
	mode    atomic.Int32 // of the server, see publish.go
	closed  atomic.Bool

	calls    atomic.Int64            // claims and commits under way
	gatherer *gather.Gatherer[*ride] // nil where the client may go to several servers
	// How many calls under way make claims, and commits, be sent together.
	claims, commits int64
}

var (
	_ backend.Backend   = (*Backend)(nil)
	_ backend.Forgetter = (*Backend)(nil)
	_ io.Closer         = (*Backend)(nil)
)

// New makes a backend that works through the client, which stays the caller's
// to configure and, after the backend's, to close. It doesn't connect. The
// errors of a nil client, of a *redis.Ring (whose shards would forget each
// other's records) and of options out of their bounds are [backend.ErrInvalid].
func New(client redislib.UniversalClient, options Options) (*Backend, error) {
	if client == nil {
		return nil, invalid("client is nil")
	}
	if v := reflect.ValueOf(client); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, invalid("client is a nil %T", client)
	}
	if _, ring := client.(*redislib.Ring); ring {
		return nil, invalid("client is a *redis.Ring, whose shards don't keep records when they change; use a *redis.Client or a *redis.ClusterClient")
	}
	layout, err := wire.NewLayout(options.Prefix)
	if err != nil {
		return nil, fmt.Errorf("goredis: %w", err)
	}
	b := &Backend{client: client, retries: retriesOf(client), layout: layout}
	if b.single, _ = client.(*redislib.Client); b.single != nil {
		// To several servers, a silent one would keep the answers of all.
		b.gatherer = gather.New(b.drive)
		b.claims, b.commits = gather.Crowd(true), gather.Crowd(false)
	}
	b.hub = hub.New(b.look, func(h *hub.Hub) hub.Subscriber { return newSubscriber(b, h) })
	return b, nil
}

// Close wakes everybody who waits with [backend.ErrClosed] and closes the
// backend's own connections. The client stays open.
func (b *Backend) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.hub.Close()
		b.workers.Close()
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("goredis: "+format+": %w", append(args, backend.ErrInvalid)...)
}

// check is what every verb begins with.
func (b *Backend) check(ctx context.Context, op, key string) error {
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	if b.closed.Load() {
		return &wire.Error{Op: op, Class: backend.ErrClosed}
	}
	if err := ctx.Err(); err != nil {
		return &wire.Error{Op: op, Class: backend.ErrNotApplied, Err: err}
	}
	return nil
}

// Wait implements [backend.Backend].
func (b *Backend) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	if err := b.check(ctx, opWait, key); err != nil {
		return backend.Record{}, err
	}
	record, err := b.hub.Wait(ctx, b.layout.Channel(key), token)
	if err != nil {
		var known *wire.Error
		if !errors.As(err, &known) {
			err = &wire.Error{Op: opWait, Err: err}
		}
		return backend.Record{}, err
	}
	record.Remaining = 0
	return record, nil
}
