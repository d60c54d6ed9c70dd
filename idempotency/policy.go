package idempotency

import (
	"time"
)

// AbandonedPolicy says what a call does that meets an abandoned key: an earlier
// attempt ended without an outcome (its process died, was paused past its lease,
// or its action was cut short), and nobody knows whether its side effect
// happened.
type AbandonedPolicy uint8

const (
	// Rerun runs the action again, as the next attempt. The default; right where
	// the action's side effect is itself idempotent.
	Rerun AbandonedPolicy = iota
	// Fail answers ErrAbandoned to every call until a person has decided, by
	// Operation.Resolve or Executor.Forget, or until the record's Keep is over.
	Fail
	// Reconcile asks the function OperationOptions.Reconcile. It is implied where
	// that function is set.
	Reconcile
)

// Abandoned is what is known of an attempt that ended without an outcome.
type Abandoned struct {
	// Key is the key as the caller gave it.
	Key string
	// Operation is the name in the record; empty where it has none.
	Operation string
	// Attempt and Fence are those of the attempt that was abandoned.
	Attempt uint32
	Fence   uint64
	// ClaimedAt is when that attempt claimed the key, by the clock of its
	// process.
	ClaimedAt time.Time
	// Since is when the first of the attempts claimed the key that ended without an
	// outcome one after the other up to this one: an effect that nobody knows of
	// can't be older. It may be as young as the end of the lease, for a lease is
	// renewed while its action runs.
	Since time.Time
	// Fingerprint is that attempt's; empty where it had none.
	Fingerprint []byte
	// Metadata is the Call.Metadata of that attempt's call, or of the last one that
	// had any.
	Metadata map[string]string
}

// Decision is what a Reconcile function found out: [Answer], [RunAgain] or
// [Unknown], which is the zero Decision.
type Decision[T any] struct {
	verdict verdict
	value   T
	err     error
}

type verdict uint8

const (
	verdictUnknown verdict = iota
	verdictAnswer
	verdictRunAgain
)

// Answer decides that the abandoned attempt had this outcome. It is recorded and
// given to every caller as a replay. A non-nil err is the outcome; value is then
// ignored.
func Answer[T any](value T, err error) Decision[T] {
	return Decision[T]{verdict: verdictAnswer, value: value, err: err}
}

// RunAgain decides that the abandoned attempt had no effect: the action runs.
func RunAgain[T any]() Decision[T] { return Decision[T]{verdict: verdictRunAgain} }

// Unknown decides nothing: the key stays abandoned, the call gets ErrAbandoned,
// and a later call asks again.
func Unknown[T any]() Decision[T] { return Decision[T]{} }

// RetentionChoice is the answer of OperationOptions.RetentionFor.
type RetentionChoice int64

const (
	// Default keeps the outcome for the operation's Retention.
	Default RetentionChoice = 0
	// DoNotRecord releases the key: the outcome goes to the caller that ran, and
	// the next call runs again.
	DoNotRecord RetentionChoice = -1
	// LeaveAbandoned says that nobody knows whether the action had its effect: the
	// other side didn't answer in time, for example. The outcome goes to the caller
	// that ran; the key is abandoned, and OnAbandoned decides on the next call.
	LeaveAbandoned RetentionChoice = -2
)

// For keeps the outcome for d. A d below the lease or the CommitTimeout is
// raised to the greater of them, so that an outcome can't be forgotten while its
// own commit is still being repeated; one above [MaxRetention] is lowered to it.
func For(d time.Duration) RetentionChoice { return RetentionChoice(max(d, 1)) }
