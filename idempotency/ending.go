package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// ending is the request that ends a claim, and what is needed to repeat it until
// the store has confirmed it.
type ending struct {
	x       *Executor
	plan    *plan
	ctx     context.Context // of the call, for its values
	userKey string
	key     string
	request backend.CommitRequest
	set     map[string]string // what the action set beside its answer
	hold    *hold             // nil: the lease was never looked after
	proven  time.Time         // without a hold: until when the lease is proven
	limit   time.Time         // until when it is repeated
	pairs   map[string]string // for the marker
	sends   int               // how often it was sent
}

// inline is the ctx of an ending that the caller waits for. Whoever gets it calls
// its release.
func (e *ending) inline() *endingContext {
	return &endingContext{caller: e.ctx, deadline: e.limit, endings: &e.x.endings}
}

// ending prepares the end of the flight's claim. A flight ends its claim once.
func (c *call) ending(f *flight, how backend.Ending, limit time.Time) *ending {
	cl := &f.claim
	var e *ending
	if f.tenure != nil {
		e = &f.tenure.ending
		e.hold = &f.tenure.hold
	} else {
		e = &ending{}
		if cl.owned {
			e.proven = c.plan.x.localEnd(cl.sentAt)
		}
	}
	e.x, e.plan, e.ctx, e.userKey, e.key, e.limit = c.plan.x, c.plan, c.ctx, c.key, f.key, limit
	e.pairs = c.set
	e.request = backend.CommitRequest{
		Token: cl.request.Token, Ending: how, Keep: c.plan.x.options.Keep,
		Fingerprint: cl.request.Fingerprint, Metadata: cl.request.Metadata,
		Attempt: cl.attempt, Fence: cl.fence,
	}
	// Never told: a record left by a release needs one, and has its claim time by it.
	if e.request.Fence == 0 {
		e.request.Fence = fenceAt(time.Now())
	}
	return e
}

// send repeats the request while its outcome is unknown and ctx lasts. It
// returns nil once it is confirmed.
func (e *ending) send(ctx context.Context) (err error) {
	ctx, step := e.x.observe(ctx, StepCommit, e.plan, e.userKey)
	before := e.sends
	if step != nil {
		defer func() {
			step.Ending, step.Sends, step.Size = e.request.Ending, e.sends-before, len(e.request.Outcome)
			step.Attempt, step.Fence = e.request.Attempt, e.request.Fence
			step.Superseded = errors.Is(err, backend.ErrSuperseded)
			step.Unfinished = e.unfinished(ctx, err)
			e.x.observed(ctx, step, err)
		}()
	}
	for {
		e.request.LeaseHeld = e.leaseHeld()
		e.sends++
		err = e.x.store.Commit(ctx, e.key, e.request)
		if err == nil || errors.Is(err, backend.ErrSuperseded) || isFinal(err) || ctx.Err() != nil {
			return err
		}
		if !time.Now().Before(e.limit) || pause(ctx, sendBackoff(min(e.sends-before-1, 2))) != nil {
			return err
		}
	}
}

// sendOutcome is send, except that an outcome that the store finds too large is
// replaced by the marker; tooLarge then says so.
func (e *ending) sendOutcome(ctx context.Context) (err, tooLarge error) {
	err = e.send(ctx)
	if e.request.Ending == backend.Complete && errors.Is(err, backend.ErrTooLarge) {
		tooLarge = fmt.Errorf("%d bytes: %w", len(e.request.Outcome), err)
		e.request.Outcome = notKeptOutcome(time.Now(), e.set, "larger than the store takes")
		err = e.send(ctx)
	}
	return err, tooLarge
}

// leaseHeld tells the store whether nobody can have overtaken us. Without an
// answered claim it is never true.
func (e *ending) leaseHeld() bool {
	proven := e.proven
	if e.hold != nil {
		proven = e.x.leases.until(e.hold)
	}
	return time.Until(proven) > 0
}

// unfinished tells whether send gave up only because the caller's ctx had ended:
// then the request is to be repeated in the background.
func (e *ending) unfinished(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, backend.ErrSuperseded) && !isFinal(err) &&
		ctx.Err() != nil && time.Now().Before(e.limit)
}

// sendDetached goes on where the caller could not wait, until the limit.
func (e *ending) sendDetached() error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(e.ctx), e.limit)
	defer cancel()
	err, _ := e.sendOutcome(ctx)
	return err
}

// giveUp ends, in the background, a claim that is left when the flight is closed
// and nobody leads it: one that may have been applied, or is held and was never
// used. A key that was meant to be taken while it was vacant is released; one
// that was abandoned stays so, for nobody has decided on it.
func (c *call) giveUp(f *flight) {
	cl := &f.claim
	if !cl.open && !cl.owned {
		return
	}
	if f.tenure != nil && f.tenure.ending.x != nil {
		// Its ending was sent, and may have been applied: there is no second one.
		c.stopRenewals(f)
		return
	}
	how := backend.Release
	if cl.takeover != nil || cl.started {
		how = backend.Abandon
	}
	c.stopRenewals(f)
	e := c.ending(f, how, time.Now().Add(c.plan.x.options.CommitTimeout))
	c.plan.x.background.run(func() { e.sendDetached() })
}

// stopRenewals must come before a release: a renewal that arrives after it could
// re-create the claim once the store has forgotten the release.
func (c *call) stopRenewals(f *flight) {
	if f.tenure != nil {
		c.plan.x.leases.remove(&f.tenure.hold)
	}
}
