package idempotency

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
)

// work is the typed half of a call: what knows T.
type work interface {
	// run runs the action and keeps its value.
	run(ctx context.Context) error
	// encode encodes the value that run or reconcile kept.
	encode(dst []byte) ([]byte, error)
	// decode sets the value from a recorded answer; sole: nobody else has data.
	decode(from codec.Codec, data []byte, sole bool) error
	// retention asks RetentionFor about the value and err.
	retention(err error) RetentionChoice
	// reconcile asks Reconcile and keeps the value of an answer; outcome is its
	// error.
	reconcile(ctx context.Context, abandoned Abandoned) (v verdict, outcome, err error)
	// detached copies the call, for work that goes on without it; adopt hands the
	// copy's answer back.
	detached() (copied *call, adopt func())
}

// call is one call of Run, Exec or Do.
type call struct {
	plan        *plan
	work        work
	ctx         context.Context
	key         string
	storageKey  string
	fingerprint []byte
	metadata    map[string]string // of the call; never changed
	waitTimeout time.Duration
	noWait      bool

	waitUntil time.Time // zero before the call has waited for anybody
	waited    time.Duration
	waitedOn  Outcome // Joined or Waited, once it has waited
	leads     bool    // talks to the store for the flight
	led       bool    // has been leading
	sole      bool    // has the record that answers it for itself
	// spent: nothing goes on of the call, nor, if it led, of its flight.
	spent  bool
	result callResult
	origin []byte
	set    map[string]string // what the action set beside its answer
}

// callResult is Result without its value.
type callResult struct {
	replayed    bool
	unprotected bool
	attempt     uint32
	fence       uint64
	outcome     Outcome
	metadata    map[string]string // of the record that the answer comes from
	// ran: this call's own action ran and its outcome, the value with actionErr,
	// is the answer; commitErr is why it isn't recorded, nil where it is.
	ran       bool
	actionErr error
	commitErr error
}

func (c *call) saw(record *backend.Record) {
	c.result.attempt, c.result.fence = record.Attempt, record.Fence
}

// fail makes an error of the library.
func (c *call) fail(step string, err error) error {
	return &Error{Operation: c.plan.name, Step: step, Err: err}
}

// do gets the call its answer. The error is the action's, a replay of it, or the
// library's; c.result tells which.
func (c *call) do() error {
	x := c.plan.x
	var step *Step
	caller := c.ctx
	c.ctx, step = x.observe(c.ctx, StepRun, c.plan, c.key)
	if step == nil {
		return c.answer()
	}
	finished := false
	defer func() {
		if !finished { // the action panicked or ended its goroutine
			c.result.outcome = Executed
			c.observedRun(caller, step, errEndedByPanic)
		}
	}()
	err := c.answer()
	finished = true
	c.observedRun(caller, step, err)
	return err
}

var errEndedByPanic = errors.New("the action panicked or ended its goroutine")

func (c *call) observedRun(caller context.Context, step *Step, err error) {
	step.Attempt, step.Fence = c.result.attempt, c.result.fence
	step.Outcome, step.Unprotected = c.result.outcome, c.result.unprotected
	step.Origin, step.Waited = c.origin, c.waited
	step.Metadata = c.result.metadata
	c.plan.x.observed(c.ctx, step, err)
	c.ctx = caller
}

// answer is the whole flow: join the key's flight, and lead or follow it until
// there is an answer.
func (c *call) answer() error {
	x := c.plan.x
	if err := c.ctx.Err(); err != nil {
		c.result.outcome = Failed
		return c.fail("call", err)
	}
	if x.runs(c.ctx, c.storageKey) {
		c.result.outcome = Refused
		return c.fail("call", ErrReentrant)
	}
	var hint *backend.Record
	for {
		f, leads := x.flights.enter(c.storageKey)
		if leads {
			f.seen = hint
		}
		if !leads {
			var err error
			if leads, err = c.follow(f); err != nil {
				return err
			}
		}
		if leads {
			return c.lead(f)
		}
		if answered, err := c.concluded(f); answered {
			c.spent = !c.led
			return err
		}
		hint = nil
		if f.end.seen != 0 {
			hint = &backend.Record{State: backend.Vacant, Fence: f.end.seen}
		}
	}
}

// failed makes an error of the library and notes how the call ended.
func (c *call) failed(outcome Outcome, step string, err error) error {
	c.result.outcome = outcome
	return c.fail(step, err)
}

// quit takes the call out of the flight. The last one ends the flight's claim, in
// the background: nobody is left to wait for that.
func (c *call) quit(f *flight, leads bool) {
	c.leads = false
	if f.leave(leads) {
		c.giveUp(f)
	}
}

// leave takes the leader out of the flight with an error.
func (c *call) leave(f *flight, outcome Outcome, step string, err error) error {
	c.quit(f, true)
	return c.failed(outcome, step, err)
}

// lead talks to the store until the key is ours, and then runs the action; or
// until the record or this call's limits answer otherwise.
func (c *call) lead(f *flight) error {
	c.leads, c.led = true, true
	err := c.guard(f, c.acquire)
	c.spent = c.spent && f.recycle()
	return err
}

// guard runs a leader's work. A panic in a function of the user's (an observer,
// a policy) leaves neither followers nor a claim behind.
func (c *call) guard(f *flight, work func(*flight) error) error {
	returned := false
	defer func() {
		if !returned && c.leads && !f.handedOver && f.conclude(conclusion{again: true}) {
			c.giveUp(f)
		}
	}()
	err := work(f)
	returned = true
	return err
}

// acquire is the loop around claim and wait.
func (c *call) acquire(f *flight) error {
	cl := &f.claim
	if cl.open || cl.owned {
		// The baton came with a claim that somebody else made.
		if err := c.mismatch(&cl.identity); err != nil {
			return c.leave(f, Refused, "claim", err)
		}
		if cl.takeover != nil && c.plan.policy == Fail {
			return c.leave(f, GaveUp, "takeover", ErrAbandoned)
		}
	}
	for lost, late := 0, 0; ; {
		if err := c.ctx.Err(); err != nil {
			return c.leave(f, Failed, "claim", err)
		}
		if cl.owned {
			if cl.held = time.Since(cl.sentAt); cl.held < c.plan.x.proven() {
				return c.own(f)
			}
			// The lease was over when its reply came, or the baton took too long:
			// nobody knows who holds the key now. The same taking is sent again.
			cl.open, cl.owned = true, false
			if late++; late == sends {
				return c.storeDown(f, fmt.Errorf("replies of the store take longer than the lease of %v", c.plan.x.options.Lease))
			}
		}
		if !cl.open {
			if f.seen != nil {
				if f.seen.State == backend.Completed {
					return c.answerFrom(f)
				}
				proceed, err := c.consider(f)
				if err != nil {
					return err
				}
				if !proceed {
					continue
				}
			}
			c.intend(f, f.seen)
		}
		if err := c.send(f); err != nil {
			if c.ctx.Err() != nil {
				return c.leave(f, Failed, "claim", c.ctx.Err())
			}
			return c.storeDown(f, err)
		}
		if cl.owned || f.seen.State == backend.Claimed || f.seen.State == backend.Completed {
			continue
		}
		// Somebody was quicker and is already gone again. That is rare; a store
		// that answers so for ever must not make us spin.
		if lost++; lost > 2 {
			c.startWait(time.Now())
			if c.waitTimeout != Unlimited && time.Now().After(c.waitUntil) {
				return c.leave(f, Refused, "wait", ErrWaitTimeout)
			}
			if err := pause(c.ctx, time.Duration(min(lost, 50))*time.Millisecond); err != nil {
				return c.leave(f, Failed, "claim", err)
			}
		}
	}
}

// consider looks at a record that isn't completed and decides whether to take it
// (true), or whether to look at f.seen again (false).
func (c *call) consider(f *flight) (proceed bool, err error) {
	record := f.seen
	if record.State == backend.Vacant {
		if record.Unknown() {
			f.seen = nil
		}
		return true, nil
	}
	who, err := identityOf(record)
	if err != nil {
		return false, c.storeDown(f, err)
	}
	if err := c.mismatch(&who); err != nil {
		return false, c.leave(f, Refused, "claim", err)
	}
	if record.State == backend.Claimed {
		return false, c.await(f, record, who)
	}
	if c.plan.policy == Fail {
		c.origin = who.carrier
		return false, c.leave(f, GaveUp, "takeover", ErrAbandoned)
	}
	return true, nil
}

// await waits until the holder in record doesn't hold the key any more, and puts
// what is there then into f.seen.
func (c *call) await(f *flight, record *backend.Record, who identity) (err error) {
	x := c.plan.x
	began := time.Now()
	token := record.Token
	until := began.Add(record.LeaseLeft)
	if known, announced, _ := f.heldBy(); announced && known.fence == record.Fence {
		until = known.until // the record was seen by who led before
	}
	f.announce(holder{identity: who, attempt: record.Attempt, fence: record.Fence, until: until})
	c.origin = who.carrier
	if c.noWait {
		return c.leave(f, Refused, "claim", &InProgressError{LeaseLeft: max(until.Sub(began), 0)})
	}
	c.startWait(began)
	c.waitedOn = Waited
	stepCtx, step := x.observe(c.ctx, StepWait, c.plan, c.key)
	defer func() {
		d := time.Since(began)
		c.waited += d
		if step != nil {
			step.Waited = d
			step.Attempt, step.Fence = c.result.attempt, c.result.fence
			x.observed(stepCtx, step, err)
		}
	}()
	ctx := stepCtx
	if c.waitTimeout != Unlimited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, c.waitUntil)
		defer cancel()
	}
	for try := 0; ; try++ {
		next, err := x.store.Wait(ctx, f.key, token)
		if err == nil {
			c.saw(&next)
			f.reply, f.seen = next, &f.reply
			if next.State != backend.Claimed || next.Token != token {
				f.retract()
				return nil
			}
			// A store that returns too early must not make us spin.
		}
		over := ctx.Err() // read first: the end of the call's own ctx ends both
		if c.ctx.Err() != nil {
			return c.leave(f, Failed, "wait", c.ctx.Err())
		}
		if over != nil {
			return c.leave(f, Refused, "wait", c.waitedTooLong(err))
		}
		if err != nil && isFinal(err) {
			return c.storeDown(f, err)
		}
		// The store doesn't answer, but somebody holds the key: there is time.
		if pause(ctx, sendBackoff(min(try, 2))) != nil && c.ctx.Err() == nil {
			return c.leave(f, Refused, "wait", c.waitedTooLong(err))
		}
	}
}

func (c *call) waitedTooLong(err error) error {
	if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return ErrWaitTimeout
	}
	return fmt.Errorf("%w: %w", ErrWaitTimeout, err)
}

// answerFrom gives the completed record in f.seen to the whole flight. A caller
// with another fingerprint or operation gets its error, and only it.
func (c *call) answerFrom(f *flight) error {
	record := f.seen
	f.conclude(conclusion{record: record})
	c.sole = f.done == nil // nobody follows, and nobody can any more
	c.spent = !f.claim.open && f.sends <= 1 && f.tenure == nil
	return c.replay(record, c.howAnswered())
}

// howAnswered is how a call got an answer that isn't its own action's.
func (c *call) howAnswered() Outcome {
	if c.waitedOn != 0 {
		return c.waitedOn
	}
	return Replayed
}

// storeDown ends the flight because the store can't be used, or runs the action
// without it where that is asked for.
func (c *call) storeDown(f *flight, err error) error {
	if c.plan.x.options.FailOpen && (f.seen == nil || f.seen.State == backend.Vacant) && mayFailOpen(err) {
		return c.sheltered(f, (*call).runUnprotected)
	}
	f.conclude(conclusion{err: err})
	c.giveUp(f)
	c.result.outcome = Failed
	return c.fail("claim", err)
}

// mayFailOpen: a store that can't be reached may be done without; one that holds
// a record which can't be read, or refuses a request as wrong, may not.
func mayFailOpen(err error) bool {
	return !isFinal(err) || errors.Is(err, backend.ErrPermanent)
}
