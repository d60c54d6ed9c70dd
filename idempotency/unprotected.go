package idempotency

import (
	"runtime/debug"
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
	a := &actionContext{}
	t := &tenure{action: a}
	c.initAction(a, f)
	f.announce(holder{identity: cl.identity})
	cl.started = true
	err, returned := error(nil), false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			c.settleUnprotected(f, t, &PanicError{Value: v, Stack: debug.Stack()})
			panic(v)
		}
		a.finish() // runtime.Goexit; guard ends what is left
	}()
	err = c.act(a)
	returned = true
	return c.settleUnprotected(f, t, err)
}

// settleUnprotected gives the followers the outcome, or lets them start over.
// Should the claim have reached the store after all, then the key is ours, and
// its ending is sent in the background.
func (c *call) settleUnprotected(f *flight, t *tenure, err error) error {
	cl := &f.claim
	cut := t.action.cut(err)
	t.action.finish()
	c.set = t.action.metadata.take()
	c.result.metadata = mergedMetadata(c.metadata, c.set)
	c.result.outcome, c.result.ran, c.result.actionErr = Executed, true, err
	choice := LeaveAbandoned
	switch {
	case cut:
	case err != nil && c.plan.ignoreError != nil && c.plan.ignoreError(err):
		choice = DoNotRecord
	default:
		choice = c.work.retention(err)
	}
	if choice < 0 {
		cl.started = choice != DoNotRecord // as if it had never started: nothing happened
		f.conclude(conclusion{again: true})
		c.giveUp(f)
		return err
	}
	now := time.Now()
	// Nobody knows the fence of the claim, if there is one.
	data, _ := c.seal(nil, &cl.identity, err, time.Time{}, now)
	t.recorded = backend.Record{
		State: backend.Completed, Fingerprint: cl.request.Fingerprint, Metadata: cl.request.Metadata, Outcome: data,
	}
	f.conclude(conclusion{unprotected: &t.recorded})
	if cl.open {
		e := c.ending(f, backend.Complete, now.Add(c.plan.x.options.CommitTimeout))
		e.request.Outcome, e.request.Retention, e.set = data, c.plan.retentionOf(choice), c.set
		c.plan.x.background.run(func() { e.sendDetached() })
	}
	return err
}
