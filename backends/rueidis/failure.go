package rueidis

import (
	"context"
	"errors"
	"net"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// ready refuses what needs no server to be refused.
func (b *Backend) ready(ctx context.Context, op, key string) error {
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

// failure makes the error of a verb from the client's.
func (b *Backend) failure(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	var known *wire.Error
	if errors.As(err, &known) {
		return &wire.Error{Op: op, Class: known.Class, Err: known.Err}
	}
	if deadline, ok := ctx.Deadline(); ok && !answered(err) && !time.Now().Before(deadline) {
		<-ctx.Done() // the client's own timer was a moment ahead
	}
	class := classify(err)
	switch {
	case b.closed.Load() && class == nil:
		class = backend.ErrClosed
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()) && class != backend.ErrClosed && !answered(err):
		err = errors.Join(ctx.Err(), err)
	}
	return &wire.Error{Op: op, Class: class, Err: err}
}

// answered tells whether the error is a reply or what was read from one.
func answered(err error) bool {
	_, reply := rueidislib.IsRedisErr(err)
	return reply || errors.Is(err, backend.ErrCorrupt) || errors.Is(err, backend.ErrSuperseded)
}

// classify is the class of a client's error, nil where the outcome is unknown.
func classify(err error) error {
	for _, class := range []error{
		backend.ErrCorrupt, backend.ErrSuperseded, backend.ErrClosed, backend.ErrPermanent, backend.ErrNotApplied,
	} {
		if errors.Is(err, class) {
			return class
		}
	}
	var reply *rueidislib.RedisError
	if errors.As(err, &reply) && !rueidislib.IsRedisNil(err) {
		// rueidis takes the generic "ERR " away.
		if class := wire.Classify(reply.Error()); class != nil {
			return class
		}
		return wire.Classify("ERR " + reply.Error())
	}
	var dial *net.OpError
	switch {
	case errors.Is(err, rueidislib.ErrClosing):
		return backend.ErrClosed
	case errors.Is(err, rueidislib.ErrNoCache):
		return backend.ErrPermanent
	case errors.Is(err, rueidislib.ErrNoSlot), errors.Is(err, rueidislib.ErrNoAddr):
		return backend.ErrNotApplied
	case errors.As(err, &dial) && dial.Op == "dial":
		return backend.ErrNotApplied
	}
	return nil
}
