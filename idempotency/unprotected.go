package idempotency

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

// runUnprotected runs the action although the store is down: Options.FailOpen.
// Calls in this process still share one run, and its answer, which nobody has
// recorded; calls in other processes don't.
func (c *call) runUnprotected(f *flight) error {
	cl := &f.claim
	cl.attempt, cl.fence = 0, 0
	c.result.attempt, c.result.fence, c.result.unprotected = 0, 0, true
	t := &tenure{}
	a := &t.action
	c.initAction(a, f)
	f.announce(holder{identity: cl.identity})
	cl.started = true
	err := c.act(a)
	a.finish()
	c.set = a.metadata.take()
	c.result.metadata = mergedMetadata(c.metadata, c.set)
	c.result.outcome, c.result.ran, c.result.actionErr = Executed, true, err
	if err != nil && (c.ctx.Err() != nil || c.plan.ignoreError != nil && c.plan.ignoreError(err)) ||
		c.work.retention(err) < 0 {
		f.conclude(conclusion{again: true})
		c.giveUp(f)
		return err
	}
	now := time.Now()
	data, _ := c.seal(&cl.identity, err, now)
	t.recorded = backend.Record{
		State: backend.Completed, Fingerprint: cl.request.Fingerprint, Metadata: cl.request.Metadata, Outcome: data,
	}
	f.conclude(conclusion{unprotected: &t.recorded})
	if cl.open {
		// The claim may have reached the store after all. Then the key is ours, and
		// the outcome can still be recorded.
		e := c.ending(f, backend.Complete, now.Add(c.plan.x.options.CommitTimeout))
		e.request.Outcome, e.request.Retention = data, c.plan.retention
		c.plan.x.background.run(func() { e.sendDetached() })
	}
	return err
}
