package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// Consumer handles messages of type M. It is safe for concurrent use, and owns
// nothing while no message is being handled.
type Consumer[M any] struct {
	options Options[M]
	handle  *idempotency.Operation[struct{}]
}

// New makes a Consumer on an executor. It returns an error that names the field
// for a nil executor and for options that are missing, out of their bounds or
// contradict each other.
func New[M any](x *idempotency.Executor, options Options[M]) (*Consumer[M], error) {
	if x == nil {
		return nil, optionError("the executor is nil")
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	final, harmless := options.Final, options.Harmless
	operation := idempotency.OperationOptions[struct{}]{
		Name: options.Name, Retention: options.Retention, NoWait: true, Shield: options.Shield,
		OnAbandoned: options.OnAbandoned, Reconcile: options.Reconcile, MaxAttempts: options.MaxAttempts,
		RetentionFor: func(_ struct{}, err error) idempotency.RetentionChoice {
			if err == nil || final(err) {
				return idempotency.Default
			}
			return idempotency.LeaveAbandoned
		},
	}
	if harmless != nil {
		operation.IgnoreError = func(err error) bool { return harmless(err) && !final(err) }
	}
	handle, err := idempotency.NewOperation(x, operation)
	if err != nil {
		return nil, err
	}
	return &Consumer[M]{options: options, handle: handle}, nil
}

// Handle handles a message, unless that has been done or is being done, and says
// what is to become of it. A panic of Options.Handle, or of another function of
// the options, ends here, in Verdict.Err.
func (c *Consumer[M]) Handle(ctx context.Context, message M) (verdict Verdict) {
	var (
		result  idempotency.Result[struct{}]
		ran     error
		attempt uint32
	)
	defer func() {
		if v := recover(); v != nil {
			verdict = c.panicked(&idempotency.PanicError{Value: v, Stack: debug.Stack()}, attempt)
		}
	}()
	call := idempotency.Call{Key: c.options.Key(message)}
	if c.options.Fingerprint != nil {
		call.Fingerprint = c.options.Fingerprint(message)
	}
	if c.options.Metadata != nil {
		call.Metadata = c.options.Metadata(message)
	}
	result, err := c.handle.Do(ctx, call, func(ctx context.Context) (struct{}, error) {
		execution, _ := idempotency.ExecutionOf(ctx)
		attempt = execution.Attempt
		ran = c.options.Handle(ctx, message)
		return struct{}{}, ran
	})
	verdict = c.judge(ctx, result, err, ran)
	verdict.Err, verdict.Replayed, verdict.Attempt = err, result.Replayed, result.Attempt
	return verdict
}

// judge decides on the outcome of a call. Ran is what the handler returned if it
// ran in this call.
func (c *Consumer[M]) judge(ctx context.Context, result idempotency.Result[struct{}], err, ran error) Verdict {
	switch result.Outcome {
	case idempotency.Executed:
		return c.judgeOwn(ctx, result, err, ran)
	case idempotency.Replayed, idempotency.Joined, idempotency.Waited:
		switch {
		case err == nil:
			return Verdict{Action: Ack, Reason: Duplicate}
		case errors.Is(err, idempotency.ErrTooManyAttempts):
			return Verdict{Action: DeadLetter, Reason: Exhausted}
		}
		return Verdict{Action: c.options.OnFinal, Reason: Failed}
	}
	var busy *idempotency.InProgressError
	switch {
	case errors.As(err, &busy):
		return Verdict{Reason: InProgress, Delay: c.bound(busy.LeaseLeft)}
	case errors.Is(err, idempotency.ErrWaitTimeout):
		return Verdict{Reason: InProgress, Delay: c.options.MinDelay}
	case errors.Is(err, idempotency.ErrLeaseLost):
		return Verdict{Reason: LeaseLost, Delay: c.options.MinDelay}
	case errors.Is(err, idempotency.ErrAbandoned):
		return Verdict{Action: c.options.WhenAbandoned, Reason: Abandoned, Delay: c.parked()}
	case errors.Is(err, idempotency.ErrInvalidKey), errors.Is(err, idempotency.ErrReentrant):
		return Verdict{Action: DeadLetter, Reason: Invalid}
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		return Verdict{Action: DeadLetter, Reason: Mismatch}
	case errors.Is(err, idempotency.ErrUndecodable), errors.Is(err, backend.ErrCorrupt):
		return Verdict{Reason: Unreadable, Delay: c.options.MaxDelay}
	case errors.Is(err, idempotency.ErrTooManyAttempts):
		return Verdict{Action: DeadLetter, Reason: Exhausted}
	case ctx.Err() != nil:
		return Verdict{Reason: Stopped}
	case result.Outcome == idempotency.Failed:
		return Verdict{Reason: Store, Delay: c.options.MinDelay}
	}
	return Verdict{Action: DeadLetter, Reason: Invalid} // the call itself was refused
}

// judgeOwn decides on a handler that ran in this call.
func (c *Consumer[M]) judgeOwn(ctx context.Context, result idempotency.Result[struct{}], err, ran error) Verdict {
	switch {
	case err == nil:
		return Verdict{Action: Ack, Reason: Handled}
	case ran == nil:
		// It is done. A Nack would ask for it a second time.
		return Verdict{Action: Ack, Reason: Unrecorded}
	case ctx.Err() != nil && (errors.Is(ran, ctx.Err()) || errors.Is(ran, context.Cause(ctx))):
		return Verdict{Reason: Stopped}
	case c.options.Final(ran):
		return Verdict{Action: c.options.OnFinal, Reason: Failed}
	}
	return Verdict{Reason: Retry, Delay: c.backoff(result.Attempt)}
}

func (c *Consumer[M]) panicked(err *idempotency.PanicError, attempt uint32) (verdict Verdict) {
	verdict = Verdict{Reason: Retry, Delay: c.backoff(attempt), Err: err, Attempt: attempt}
	defer func() {
		_ = recover() // of Final itself
	}()
	if c.options.Final(err) {
		verdict.Action, verdict.Reason, verdict.Delay = c.options.OnFinal, Failed, 0
	}
	return verdict
}

func (c *Consumer[M]) bound(d time.Duration) time.Duration {
	return min(max(d, c.options.MinDelay), c.options.MaxDelay)
}

func (c *Consumer[M]) parked() time.Duration {
	if c.options.WhenAbandoned == Nack {
		return c.options.MaxDelay
	}
	return 0
}

// backoff is MinDelay after the first attempt, doubled with each one, and up to a
// fifth more: messages that failed together don't come back together.
func (c *Consumer[M]) backoff(attempt uint32) time.Duration {
	d := c.options.MinDelay
	for i := uint32(1); i < attempt && d < c.options.MaxDelay; i++ {
		d *= 2
	}
	return min(d+rand.N(d/5+1), c.options.MaxDelay)
}
