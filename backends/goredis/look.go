package goredis

import (
	"context"

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

// look is how waiters read; the channel has the name of the record.
func (b *Backend) look(ctx context.Context, channel string) (backend.Record, error) {
	return b.read(ctx, opWait, channel)
}

func (b *Backend) read(ctx context.Context, op, record string) (backend.Record, error) {
	c := &lookCall{backend: b, ctx: ctx, keys: [1]string{record}}
	c.request.op = op
	if !b.workers.Do(ctx, c) {
		return backend.Record{}, unanswered(ctx, op)
	}
	return c.record, c.err
}

// lookCall reads a record by script: what a client answers from its own cache is
// no answer.
type lookCall struct {
	backend *Backend
	ctx     context.Context
	request request
	scripter
	keys [1]string

	record backend.Record
	err    error
}

func (c *lookCall) Run() {
	c.scripter.client, c.scripter.loaded, c.scripter.script = c.backend.client, &c.backend.loaded, lookScript
	for {
		frame, ttl, err := readPair(lookScript.Run(c.ctx, &c.scripter, c.keys[:]))
		if err == nil {
			if c.record, err = wire.ReadLook(frame, ttl); err != nil {
				c.err = &wire.Error{Op: c.request.op, Err: err}
			}
			return
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, 1)
		if !again {
			c.err = err
			return
		}
	}
}
