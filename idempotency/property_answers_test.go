package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// checkCall holds what a call got against what happened.
func (w *world) checkCall(c *propCall) {
	if c.died { // nobody is there to see it
		return
	}
	bad := func(format string, args ...any) {
		w.model.violated("call %d (key %d) got %q, %v, replayed %v, %v, attempt %d, fence %d: %s", c.number, c.step.key, c.answer.Value, c.err,
			c.answer.Replayed, c.answer.Outcome, c.answer.Attempt, c.answer.Fence, fmt.Sprintf(format, args...))
	}
	var own *propRun // the run that ended last, which only this call can have
	if n := len(c.runs); n > 0 {
		own = c.runs[n-1]
	}
	if c.answer.Unprotected {
		bad("it ran without protection")
	}
	w.checkTimes(c, bad)
	switch {
	case c.panics != nil:
		if own == nil || own.how != "panic" || c.panics != any(own.text) {
			bad("it panicked with %v", c.panics)
		}
		return
	case c.exited:
		if own == nil || own.how != "goexit" {
			bad("its goroutine ended")
		}
		return
	}
	var uncertain *idempotency.CommitError
	var replayed *idempotency.ReplayedError
	switch {
	case errors.As(c.err, &uncertain):
		if own == nil && c.decided == "" {
			bad("a CommitError without a run")
		}
	case c.err == nil, errors.As(c.err, &replayed):
		w.checkAnswer(c, own, bad)
	case c.answer.Value != "":
		bad("a value beside an error")
	case errors.Is(c.err, errScriptDeclined), errors.Is(c.err, errScriptIgnored):
		if own == nil || c.answer.Replayed || c.answer.Outcome != idempotency.Executed || c.answer.Fence != own.fence || texts.FindString(c.err.Error()) != own.text {
			bad("an action's error as its own, and it isn't")
		} else if own.how == "declined" && w.recorded(c.step.key, own.text, c.begun, c.over) == nil {
			bad("its own error, which isn't recorded")
		}
	default:
		w.checkRefusal(c, own, bad)
	}
}

// checkAnswer: whoever gets an answer without doubt gets the one that the store
// had at some moment of the call.
func (w *world) checkAnswer(c *propCall, own *propRun, bad func(string, ...any)) {
	got := c.answer.Value
	if c.err != nil {
		got = c.err.Error()
	}
	text := texts.FindString(got)
	if text == "" {
		bad("no answer that anybody gave")
		return
	}
	o := w.recorded(c.step.key, text, c.begun, c.over)
	if o == nil {
		bad("the store never had that answer during the call")
		return
	}
	if c.answer.Attempt != o.record.Attempt || c.answer.Fence != o.record.Fence {
		bad("the record is of attempt %d, fence %d", o.record.Attempt, o.record.Fence)
	}
	if print := c.step.call.fingerprint; print != "" && len(o.record.Fingerprint) > 0 && !bytes.Equal(o.record.Fingerprint, []byte(print)) {
		bad("the answer is that of a call with fingerprint %q", o.record.Fingerprint)
	}
	ran := own != nil && own.text == text
	if c.answer.Replayed == ran {
		bad("its own action ran: %v", ran)
	}
	switch outcome := c.answer.Outcome; {
	case ran && outcome != idempotency.Executed,
		!ran && outcome != idempotency.Replayed && outcome != idempotency.Joined && outcome != idempotency.Waited:
		bad("its own action ran: %v", ran)
	}
	if c.err != nil && errors.Is(c.err, errScriptDeclined) && ran {
		bad("its own error as a replay")
	}
}

// checkRefusal: every other error has a reason.
func (w *world) checkRefusal(c *propCall, own *propRun, bad func(string, ...any)) {
	s := c.step.call
	switch err := c.err; {
	case errors.Is(err, idempotency.ErrInProgress):
		if !s.noWait {
			bad("it was to wait")
		}
	case errors.Is(err, idempotency.ErrWaitTimeout):
		if s.patient || c.over.Sub(c.begun) < propWait {
			bad("it waited %v only", c.over.Sub(c.begun))
		}
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		if s.fingerprint == "" {
			bad("it has no fingerprint")
		}
	case errors.Is(err, idempotency.ErrAbandoned):
		if s.policy != "fail" && s.policy != "reconcile" {
			bad("its policy is %s", s.policy)
		}
	case errors.Is(err, idempotency.ErrLeaseLost):
		if own == nil || c.process.undisturbed && own.epoch == w.model.key(storageKey(userKey(c.step.key))).epochAt(own.ended) {
			bad("its process was never disturbed, or its action never ran")
		}
	case c.ctx.Err() != nil && errors.Is(err, c.ctx.Err()):
		// The call's ctx has ended. (It ends with the process too, and at the test's end.)
	case own != nil && own.how == "cut" && errors.Is(err, context.Canceled):
	case own != nil && own.how == "goexit" && s.policy == "detach":
		// The goroutine that ended isn't the call's.
	case !c.process.undisturbed:
		// A store that didn't answer.
	default:
		bad("no reason for that error")
	}
}

// checkTimes: nobody waits longer than it was told to, and who leaves leaves.
func (w *world) checkTimes(c *propCall, bad func(string, ...any)) {
	if !c.process.undisturbed {
		return
	}
	took := c.over.Sub(c.begun)
	if len(c.runs) == 0 && !c.step.call.patient && c.decided == "" && took > propWait+propLease {
		bad("it took %v without a run of its own", took)
	}
	busy := c.begun
	for _, r := range c.runs {
		if r.ended.After(busy) {
			busy = r.ended
		}
	}
	if limit := c.step.call.limit; limit > 0 {
		if end := c.begun.Add(limit); end.After(busy) {
			busy = end
		}
		if late := c.over.Sub(busy); late > 100*time.Millisecond {
			bad("it returned %v after its ctx and its action had ended", late)
		}
	}
}
