package redigo

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// How the pool's DialContext treats its ctx.
const (
	dialsUnseen  int32 = iota
	dialsWithCtx       // it has asked for the deadline
	dialsBlindly       // it seems to have dialled without
)

// idleConn is an idle connection of the pool for the call, nil where there is
// none to be had at once and for certain. Handing a call to a worker and back
// costs as much as a third of a round trip on loopback, so a connection is used
// in the goroutine of the verb where that can't be blocked by getting it: by a
// TestOnBorrow, or by dialling. The pool doesn't say that it is going to dial; but
// a dial asks its ctx for the deadline, and is told that it is over.
func (b *Backend) idleConn(c *call) redis.Conn {
	p := b.pool
	switch {
	case p.DialContext == nil, p.TestOnBorrow != nil, p.TestOnBorrowContext != nil,
		c.head > 0, // so large that writing may block, and with TLS closing too
		!b.greeted.Load(), b.wrapped.Load(), b.dials.Load() == dialsBlindly:
		return nil
	}
	// One at a time, so that between the look and the get only others than this
	// backend can take the last one.
	if !b.getting.TryLock() {
		return nil
	}
	defer b.getting.Unlock()
	if p.IdleCount() == 0 {
		return nil
	}
	if c.ahead == nil {
		c.ahead = new(idleOnly)
	}
	c.ahead.Context = c.ctx
	conn, err := p.GetContext(c.ahead)
	if c.ahead.dialling.Load() || b.dials.Load() != dialsWithCtx {
		c.ahead = nil // a dial may still look at it
	}
	if err != nil {
		return nil
	}
	return conn
}

// idleOnly is a ctx for getting a connection from the pool that isn't dialled.
type idleOnly struct {
	context.Context
	dialling atomic.Bool
}

var past = time.Unix(0, 0)

// Deadline is what the pool doesn't ask for and dialling begins with, be it by
// net.Dialer or by a ctx that is derived from this one.
func (x *idleOnly) Deadline() (time.Time, bool) {
	x.dialling.Store(true)
	return past, true
}

// Done implements context.Context.
func (x *idleOnly) Done() <-chan struct{} {
	if x.dialling.Load() {
		return ranOut.Done()
	}
	return x.Context.Done()
}

// Err implements context.Context.
func (x *idleOnly) Err() error {
	if x.dialling.Load() {
		return context.DeadlineExceeded
	}
	return x.Context.Err()
}

// conn is a connection of the pool, dialled where need be.
func (b *Backend) conn(ctx context.Context) (redis.Conn, error) {
	b.gate.enter()
	defer b.gate.leave()
	if b.dials.Load() == dialsWithCtx || ctx.Done() == nil {
		return b.pool.GetContext(ctx)
	}
	seen := &watched{Context: ctx}
	idle := b.pool.IdleCount()
	conn, err := b.pool.GetContext(seen)
	switch {
	case seen.asked.Load():
		b.dials.Store(dialsWithCtx)
	case err == nil && idle == 0:
		b.dials.Store(dialsBlindly)
	}
	return conn, err
}

// watched is a ctx that notes whether dialling takes notice of it.
type watched struct {
	context.Context
	asked atomic.Bool
}

// Deadline implements context.Context.
func (x *watched) Deadline() (time.Time, bool) {
	x.asked.Store(true)
	return x.Context.Deadline()
}
