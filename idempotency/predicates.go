package idempotency

import (
	"context"
	"errors"
	"slices"
)

// The functions of this file make predicates on errors, for IgnoreError and for
// the cases of RetentionFor:
//
//	IgnoreError: idempotency.AnyOf(idempotency.ErrorIs(ErrBusy), idempotency.ErrorAs[*RateLimitError]())

// ErrorIs is true for errors that are one of the targets, by errors.Is.
func ErrorIs(targets ...error) func(error) bool {
	targets = slices.Clone(targets)
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// ErrorAs is true for errors that have an E in their tree, by errors.As.
func ErrorAs[E error]() func(error) bool {
	return func(err error) bool {
		_, ok := errors.AsType[E](err)
		return ok
	}
}

// AnyOf is true where one of the predicates is; of none it is never true.
func AnyOf(predicates ...func(error) bool) func(error) bool {
	predicates = slices.Clone(predicates)
	return func(err error) bool {
		return slices.ContainsFunc(predicates, func(p func(error) bool) bool { return p(err) })
	}
}

// IsTimeout is true for errors that say of themselves that time ran out: those
// with a Timeout method that returns true (net.Error, context.DeadlineExceeded,
// os.ErrDeadlineExceeded). A timeout of the other side tells nothing of what it
// did: it is a reason for LeaveAbandoned, and seldom one for IgnoreError.
func IsTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// IsPanic is true for the [*PanicError] that stands for a panic of the action.
func IsPanic(err error) bool {
	_, ok := errors.AsType[*PanicError](err)
	return ok
}
