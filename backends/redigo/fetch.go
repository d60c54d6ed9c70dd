package redigo

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Fetch implements [backend.Backend]. It costs one command.
func (b *Backend) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := b.check(ctx, opFetch, key); err != nil {
		return backend.Record{}, err
	}
	return b.read(ctx, opFetch, b.layout.Record(key))
}

// lookPatience is how long a waiter's look at its record is tried again while the
// server can't be reached.
const lookPatience = 2 * time.Second

// look is how waiters read: the channel has the name of the record. They have
// time, so they outlast a restart of the server, and the use of an exhausted pool
// by others.
func (b *Backend) look(ctx context.Context, channel string) (backend.Record, error) {
	begin := time.Now()
	for backoff := time.Millisecond; ; backoff = min(2*backoff, 100*time.Millisecond) {
		record, err := b.read(ctx, opWait, channel)
		switch {
		case err == nil, errors.Is(err, backend.ErrCorrupt), errors.Is(err, backend.ErrPermanent), ended(ctx) != nil,
			time.Since(begin) > lookPatience && !errors.Is(err, redis.ErrPoolExhausted):
			return record, err
		}
		timer := time.NewTimer(backoff/2 + rand.N(backoff))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return backend.Record{}, &wire.Error{Op: opWait, Class: backend.ErrNotApplied, Err: withContext(ctx, err)}
		}
	}
}

func (b *Backend) read(ctx context.Context, op, name string) (backend.Record, error) {
	c := b.newCall(ctx, op, name)
	defer b.free(c)
	c.talk, c.repeatable = (*call).look, true
	if err := b.do(c); err != nil {
		return backend.Record{}, err
	}
	record, err := wire.ReadLook(c.value, c.ttl)
	return record, unreadable(op, err)
}

func (c *call) look(conn redis.Conn) error {
	return c.readPair(c.eval(conn, lookScript, c.key))
}

// Forget implements [backend.Forgetter]. It costs one command.
func (b *Backend) Forget(ctx context.Context, key string) error {
	if err := b.check(ctx, opForget, key); err != nil {
		return err
	}
	c := b.newCall(ctx, opForget, b.layout.Record(key))
	defer b.free(c)
	c.talk = (*call).forget
	return b.do(c)
}

func (c *call) forget(conn redis.Conn) error {
	return c.readCode(c.eval(conn, forgetScript, c.key, argPublish))
}
