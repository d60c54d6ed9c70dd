package goredis

import (
	"context"
)

// Forget implements [backend.Forgetter]. It costs one command.
func (b *Backend) Forget(ctx context.Context, key string) error {
	if err := b.check(ctx, opForget, key); err != nil {
		return err
	}
	c := &forgetCall{backend: b, ctx: ctx, keys: [1]string{b.layout.Record(key)}}
	c.request.op = opForget
	if !b.workers.Do(ctx, c) {
		return unanswered(ctx, opForget)
	}
	return c.err
}

type forgetCall struct {
	backend *Backend
	ctx     context.Context
	request request
	scripter
	keys [1]string
	err  error
}

func (c *forgetCall) Run() {
	c.scripter.client, c.scripter.loaded, c.scripter.script = c.backend.client, &c.backend.loaded, forgetScript
	for {
		name := payload{}
		publish, err := c.backend.publish(c.ctx)
		if err == nil {
			name.data = []byte(publish.(string))
			err = forgetScript.Run(c.ctx, &c.scripter, c.keys[:], &name).Err()
		}
		if err == nil {
			return
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, name.writes)
		if !again {
			c.err = err
			return
		}
	}
}
