package idempotency

import (
	"time"
)

// concluded takes what a concluded flight left for its followers.
func (c *call) concluded(f *flight) (answered bool, err error) {
	switch end := f.end; {
	case end.record != nil:
		return true, c.replay(end.record, Joined)
	case end.unprotected != nil:
		c.result.unprotected = true
		return true, c.replay(end.unprotected, Joined)
	case end.err != nil:
		c.result.outcome = Failed
		return true, c.fail("claim", end.err)
	case end.undecided != nil && c.plan.policy == Reconcile:
		c.result.outcome = GaveUp
		return true, c.fail("takeover", end.undecided)
	}
	return false, nil
}

// follow waits until the flight has concluded (false, nil), until this call is
// to lead it (true, nil), or until the call has waited long enough.
func (c *call) follow(f *flight) (leads bool, err error) {
	began := time.Now()
	c.startWait(began)
	in := true
	defer func() {
		if in { // an observer panicked
			c.quit(f, leads)
		}
	}()
	ctx, step := c.plan.x.observe(c.ctx, StepWait, c.plan, c.key)
	leads, err = c.attend(f, began)
	d := time.Since(began)
	c.waited += d
	if step != nil {
		step.Waited = d
		step.Attempt, step.Fence = c.result.attempt, c.result.fence
		c.plan.x.observed(ctx, step, err)
	}
	in = false
	if err != nil {
		c.quit(f, false)
	}
	return leads, err
}

// attend is follow's waiting. With an error the call is to leave the flight.
func (c *call) attend(f *flight, began time.Time) (leads bool, err error) {
	var timeout <-chan time.Time
	if c.waitTimeout != Unlimited {
		timer := time.NewTimer(c.waitUntil.Sub(began))
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case <-f.done:
			c.waitedOn = Joined
			return false, nil
		default:
		}
		holder, announced, next := f.heldBy()
		if announced {
			c.result.attempt, c.result.fence = holder.attempt, holder.fence
			c.origin = holder.carrier
			if err := c.mismatch(&holder.identity); err != nil {
				return false, c.failed(Refused, "wait", err)
			}
			if c.noWait {
				return false, c.failed(Refused, "wait", &InProgressError{LeaseLeft: max(time.Until(holder.until), 0)})
			}
		}
		select {
		case <-f.done:
		case <-next:
		case <-f.baton:
			return true, nil
		case <-c.ctx.Done():
			return false, c.failed(Failed, "wait", c.ctx.Err())
		case <-timeout:
			return false, c.failed(Refused, "wait", ErrWaitTimeout)
		}
	}
}

// startWait sets the end of the call's waiting when it waits for the first time.
func (c *call) startWait(now time.Time) {
	if c.waitUntil.IsZero() && c.waitTimeout != Unlimited {
		c.waitUntil = now.Add(c.waitTimeout)
	}
}
