package idempotency

import (
	"context"
	"errors"
)

// sheltered does the work where the operation says so: in the caller's goroutine
// under its ctx, there under a ctx that the caller doesn't end, or in another one.
func (c *call) sheltered(f *flight, work func(*call, *flight) error) error {
	switch {
	case c.plan.detach:
		return c.detach(f, work)
	case c.plan.shield:
		return c.shield(f, work)
	}
	return work(c, f)
}

// shield does the work in the caller's goroutine, under a ctx that the caller
// doesn't end.
func (c *call) shield(f *flight, work func(*call, *flight) error) error {
	caller := c.ctx
	c.ctx = context.WithoutCancel(caller)
	c.plan.x.background.start()
	defer func() {
		c.plan.x.background.done()
		c.ctx = caller
	}()
	// Guarded in here, so that what a panic leaves to be ended in the background has
	// begun before Drain is told that this is done.
	return c.guard(f, func(f *flight) error { return work(c, f) })
}

// detach does the work in a goroutine of its own, which goes on when its callers
// have left. The call that started it waits for it and gets what the action
// returned.
func (c *call) detach(f *flight, work func(*call, *flight) error) error {
	f.stay()
	d, adopt := c.work.detached()
	c.leads = false // d does
	d.ctx = context.WithoutCancel(c.ctx)
	var err error
	var panicked any
	exited := true
	done := make(chan struct{})
	c.plan.x.background.run(func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				// It is recorded; the caller, if it is still there, panics with it.
				panicked, exited = v, false
			}
		}()
		err = d.guard(f, func(f *flight) error { return work(d, f) })
		exited = false
	})
	select {
	case <-done:
	case <-c.ctx.Done():
		select {
		case <-done:
		default:
			c.quit(f, false)
			return c.failed(Failed, "wait", c.ctx.Err())
		}
	}
	f.leave(false)
	if panicked != nil {
		panic(panicked)
	}
	if exited {
		c.result.outcome = Failed
		return c.fail("action", errExited)
	}
	adopt()
	return err
}

var errExited = errors.New("the action ended its goroutine (runtime.Goexit)")
