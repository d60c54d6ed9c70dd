package idempotency

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// own runs the action under the flight's claim, which is held.
func (c *call) own(f *flight) error {
	cl := &f.claim
	c.result.attempt, c.result.fence = cl.attempt, cl.fence
	f.announce(holder{
		identity: cl.identity, attempt: cl.attempt, fence: cl.fence, until: c.plan.x.localEnd(cl.sentAt),
	})
	return c.sheltered(f, (*call).execute)
}

// execute asks Reconcile where an abandoned key was taken over, runs the action,
// and ends the claim. It runs in the goroutine of the caller, so that a panic
// keeps its stack, and never leaves without the flight concluded.
func (c *call) execute(f *flight) error {
	cl := &f.claim
	t := tenurePool.Get().(*tenure)
	f.tenure = t
	a := &actionContext{}
	t.action = a
	c.initAction(a, f)
	t.hold.flight, t.hold.call, t.hold.ctx = f, c, c.ctx
	c.plan.x.leases.add(&t.hold, cl.sentAt, cl.held)

	if cl.takeover != nil && c.plan.policy == Reconcile {
		answered, err := c.reconcile(f, a)
		if answered {
			return err
		}
	}
	if most := c.plan.maxAttempts; most > 0 && cl.attempt > uint32(most) {
		return c.giveUpForGood(f, a)
	}
	err, returned := error(nil), false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			c.settle(f, a, &PanicError{Value: v, Stack: debug.Stack()})
			panic(v)
		}
		// runtime.Goexit: the goroutine ends here, and nobody knows what was done.
		a.finish()
		c.cutShort(f)
	}()
	cl.started = true
	err = c.act(a)
	returned = true
	return c.settle(f, a, err)
}

func (c *call) initAction(a *actionContext, f *flight) {
	a.Context, a.x, a.storageKey = c.ctx, c.plan.x, f.key
	a.execution = Execution{Key: c.key, Operation: c.plan.name, Attempt: f.claim.attempt, Fence: f.claim.fence}
}

// act is the action with its step around it.
func (c *call) act(a *actionContext) (err error) {
	x := c.plan.x
	if x.options.Observer == nil {
		return c.work.run(a)
	}
	ctx, step := x.observe(a, StepAction, c.plan, c.key)
	err = errEndedByPanic
	defer func() {
		step.Attempt, step.Fence = c.result.attempt, c.result.fence
		step.LeaseLost = errors.Is(context.Cause(a), ErrLeaseLost)
		x.observed(ctx, step, err)
	}()
	err = c.work.run(ctx)
	return err
}

// settle ends the claim as the action's outcome says, and concludes the flight. A
// panic in a policy of the user's leaves that to guard.
func (c *call) settle(f *flight, a *actionContext, err error) error {
	cut := a.cut(err)
	lost := c.plan.x.leases.lost(&f.tenure.hold)
	a.finish()
	c.set = a.metadata.take()
	c.result.metadata = mergedMetadata(c.metadata, c.set)
	c.result.outcome, c.result.ran, c.result.actionErr = Executed, true, err
	switch {
	case cut:
		superseded := c.cutShort(f)
		if !lost {
			return err
		}
		if superseded {
			return c.overtaken(f, err)
		}
		return c.leaseLost(err)
	case err != nil && c.plan.ignoreError != nil && c.plan.ignoreError(err):
		c.release(f)
		return err
	}
	switch choice := c.work.retention(err); choice {
	case DoNotRecord:
		if overtaken := c.release(f); overtaken && err == nil {
			return c.overtaken(f, nil)
		}
		return err
	case LeaveAbandoned:
		if overtaken := c.cutShort(f); overtaken && err == nil {
			return c.overtaken(f, nil)
		}
		return err
	default:
		return c.record(f, err, c.plan.retentionOf(choice))
	}
}

// retentionOf is how long an outcome is kept that RetentionFor chose.
func (p *plan) retentionOf(choice RetentionChoice) time.Duration {
	if choice == Default {
		return p.retention
	}
	return min(max(time.Duration(choice), p.x.options.Lease, p.x.options.CommitTimeout), MaxRetention)
}

// record commits the outcome that the call holds.
func (c *call) record(f *flight, actionErr error, retention time.Duration) error {
	x := c.plan.x
	now := time.Now()
	data, notKept := c.seal(f.buffer, &f.claim.identity, actionErr, f.claim.claimedAt, now)
	e := c.ending(f, backend.Complete, now.Add(min(x.options.CommitTimeout, retention)))
	e.request.Outcome, e.request.Retention, e.set = data, retention, c.set
	ctx := e.inline()
	defer ctx.release()
	err, tooLarge := e.sendOutcome(ctx)
	if notKept == nil {
		notKept = tooLarge
	}
	if e.unfinished(ctx, err) {
		f.handedOver = true
		x.background.run(func() { c.recordInBackground(f, e) })
		return c.notRecorded(err)
	}
	c.stopRenewals(f)
	switch {
	case err == nil:
		f.concludeRecorded(e.request)
		if notKept != nil {
			return c.notRecorded(fmt.Errorf("%w: %w", ErrNotKept, notKept))
		}
		// A request that was repeated may still be under way a first time.
		f.buffer = data
		c.spent = !c.plan.detach && f.sends == 1 && e.sends == 1 && f.claim.takeover == nil
		return actionErr
	case errors.Is(err, backend.ErrSuperseded):
		return c.overtaken(f, actionErr)
	}
	f.conclude(conclusion{again: true})
	return c.notRecorded(err)
}

// recordInBackground goes on with a commit whose caller has left. Nothing is
// released after it: it may have been applied.
func (c *call) recordInBackground(f *flight, e *ending) {
	err := e.sendDetached()
	c.stopRenewals(f)
	if err == nil {
		f.concludeRecorded(e.request)
		return
	}
	f.conclude(conclusion{again: true})
}

// concludeRecorded gives the followers an outcome whose commit was confirmed.
func (f *flight) concludeRecorded(request backend.CommitRequest) {
	f.tenure.recorded = backend.Record{
		State: backend.Completed, Token: request.Token, Attempt: request.Attempt, Fence: request.Fence,
		Fingerprint: request.Fingerprint, Metadata: request.Metadata, Outcome: request.Outcome,
	}
	f.conclude(conclusion{record: &f.tenure.recorded})
}

// notRecorded is the error of a call whose action ran, but whose outcome isn't,
// or may not be, recorded.
func (c *call) notRecorded(err error) error {
	c.result.commitErr = err
	return c.fail("commit", &CommitError{Err: err, ActionErr: c.result.actionErr})
}

// overtaken is the answer of a call whose action ran, but whose key another
// attempt had taken over: that attempt's outcome where there is one already.
func (c *call) overtaken(f *flight, actionErr error) error {
	c.stopRenewals(f)
	c.result.ran, c.result.actionErr = false, nil
	ctx := &endingContext{caller: c.ctx, deadline: time.Now().Add(c.plan.x.options.CommitTimeout), endings: &c.plan.x.endings}
	defer ctx.release()
	record, err := c.plan.x.store.Fetch(ctx, f.key)
	if err == nil && record.State == backend.Completed {
		f.conclude(conclusion{record: &record})
		return c.replay(&record, Replayed)
	}
	f.conclude(conclusion{again: true})
	return c.leaseLost(actionErr)
}

// leaseLost is the error of a call whose answer isn't the key's. What the action
// returned is told as text only: who matches it must not take it for the answer.
func (c *call) leaseLost(actionErr error) error {
	c.result.ran, c.result.actionErr, c.result.outcome = false, nil, Failed
	if actionErr != nil {
		return c.fail("action", fmt.Errorf("%w (the action returned: %v)", ErrLeaseLost, actionErr))
	}
	return c.fail("commit", ErrLeaseLost)
}

// release makes the key vacant and lets one of those who wait run.
func (c *call) release(f *flight) (superseded bool) {
	err := c.end(f, backend.Release, conclusion{again: true, seen: f.claim.fence}, conclusion{again: true})
	return errors.Is(err, backend.ErrSuperseded)
}

// cutShort leaves the key abandoned, because nobody knows what the action did.
func (c *call) cutShort(f *flight) (superseded bool) {
	again := conclusion{again: true}
	return errors.Is(c.end(f, backend.Abandon, again, again), backend.ErrSuperseded)
}

// end ends the claim without an outcome and concludes the flight with confirmed
// or otherwise; where the store is slow, in the background. A failure changes
// nothing for the caller: the lease ends by itself.
func (c *call) end(f *flight, how backend.Ending, confirmed, otherwise conclusion) error {
	x := c.plan.x
	c.stopRenewals(f)
	e := c.ending(f, how, time.Now().Add(x.options.CommitTimeout))
	ctx := e.inline()
	defer ctx.release()
	err := e.send(ctx)
	switch {
	case e.unfinished(ctx, err):
		f.handedOver = true
		x.background.run(func() {
			e.sendDetached()
			f.conclude(otherwise)
		})
	case err == nil:
		f.conclude(confirmed)
	default:
		f.conclude(otherwise)
	}
	return err
}

// giveUpForGood records, instead of a run, that there were too many.
func (c *call) giveUpForGood(f *flight, a *actionContext) error {
	a.finish()
	c.result.actionErr, c.result.outcome = ErrTooManyAttempts, Failed
	err := c.record(f, ErrTooManyAttempts, c.plan.retention)
	c.spent = false // what is replayed lies in the flight
	if c.result.commitErr != nil || f.end.record != &f.tenure.recorded {
		return err
	}
	return c.replay(&f.tenure.recorded, c.howAnswered())
}

// reconcile lets the user's function decide on the attempt that was taken over.
// answered is false when the action is to run.
func (c *call) reconcile(f *flight, a *actionContext) (answered bool, err error) {
	x, cl := c.plan.x, &f.claim
	previous, err := parseMetadata(cl.takeover)
	if err != nil {
		c.cutShort(f)
		return true, c.fail("takeover", fmt.Errorf("%w: metadata: %w", backend.ErrCorrupt, err))
	}
	abandoned := Abandoned{
		Key: c.key, Operation: previous.operation, Attempt: cl.takeover.Attempt, Fence: cl.takeover.Fence,
		ClaimedAt: previous.claimedAt, Since: previous.abandonedSince(),
		Fingerprint: cl.takeover.Fingerprint, Metadata: previous.pairs,
	}
	var ctx context.Context = a
	var step *Step
	if x.options.Observer != nil {
		ctx, step = x.observe(a, StepReconcile, c.plan, c.key)
		step.Attempt, step.Fence, step.Origin = cl.attempt, cl.fence, previous.carrier
	}
	returned := false
	defer func() {
		if !returned { // a panic, or Goexit
			if step != nil {
				x.observed(ctx, step, errEndedByPanic)
			}
			a.finish()
			c.cutShort(f)
		}
	}()
	found, outcome, err := c.work.reconcile(ctx, abandoned)
	returned = true
	if err == nil && found == verdictUnknown {
		err = errors.New("could not be told by Reconcile")
	}
	if err == nil && a.Err() != nil {
		err = a.Err()
	}
	if step != nil {
		x.observed(ctx, step, err)
	}
	if err != nil {
		return true, c.undecided(f, a, err)
	}
	if found == verdictRunAgain {
		return false, nil
	}
	a.finish()
	c.set = a.metadata.take()
	c.result.actionErr, c.result.outcome = outcome, Failed
	choice := c.work.retention(outcome)
	if choice < 0 { // the user's function has just said what to record
		choice = Default
	}
	err = c.record(f, outcome, c.plan.retentionOf(choice))
	if c.result.commitErr != nil || f.end.record != &f.tenure.recorded {
		return true, err
	}
	// Its own action didn't run, so it gets a replay like everybody else.
	return true, c.replay(&f.tenure.recorded, c.howAnswered())
}

// undecided leaves the key abandoned. Those who wait and would ask the same
// function get the same answer, unless it was only this caller's ctx that ended.
func (c *call) undecided(f *flight, a *actionContext, reason error) error {
	err := fmt.Errorf("%w: %w", ErrAbandoned, reason)
	end := conclusion{undecided: err}
	if a.Err() != nil {
		end = conclusion{again: true}
	}
	a.finish()
	c.end(f, backend.Abandon, end, end)
	c.result.outcome = GaveUp
	return c.fail("takeover", err)
}
