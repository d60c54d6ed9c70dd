package idempotency

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/reprise-go/reprise/codec"
)

// Errors that callers match with errors.Is. Every error that the library makes
// is or wraps an [*Error]; none of them shows the key.
var (
	// ErrInvalidKey: the key is empty or longer than [MaxKey] bytes.
	ErrInvalidKey = errors.New("invalid key")
	// ErrInProgress: another call holds the key, and this one was told not to
	// wait. It is always an [*InProgressError].
	ErrInProgress = errors.New("in progress")
	// ErrWaitTimeout: another call held the key for longer than this one waits.
	ErrWaitTimeout = errors.New("timed out waiting for the call that holds the key")
	// ErrFingerprintMismatch: the key belongs to a call with another fingerprint
	// or of another operation. The error carries nothing of that call's answer.
	ErrFingerprintMismatch = errors.New("key is used by another request")
	// ErrAbandoned: an earlier attempt ended without an outcome, nobody knows what
	// it did, and the operation's policy is not to run again.
	ErrAbandoned = errors.New("abandoned by an earlier attempt: its effect is unknown")
	// ErrNotAbandoned: Resolve was called for a key that isn't abandoned.
	ErrNotAbandoned = errors.New("key is not abandoned")
	// ErrLeaseLost: the action ran past its lease and another attempt may have
	// taken over, so that its answer isn't the key's. It is also the cause
	// (context.Cause) with which the action's ctx ends when its lease is lost.
	ErrLeaseLost = errors.New("lease lost")
	// ErrReentrant: the action of a key called the same key again.
	ErrReentrant = errors.New("called from within the action of the same key")
	// ErrTooManyAttempts: OperationOptions.MaxAttempts attempts ended without an
	// outcome. It is recorded, and replayed to every later call.
	ErrTooManyAttempts = errors.New("too many attempts ended without an outcome")
	// ErrNotKept: the action ran, but its answer could not be kept (too large, or
	// its codec refused it). The key never runs again; only the first caller got
	// the answer.
	ErrNotKept = errors.New("the action ran, but its answer could not be kept")
	// ErrUndecodable: the stored answer can't be read by this operation: another
	// codec, a transform that it doesn't list, a newer format, broken bytes. The
	// action isn't run again.
	ErrUndecodable = errors.New("the stored answer can't be read")
)

// Error is what every error of the library is or wraps.
type Error struct {
	// Operation is the operation's name; empty where it has none.
	Operation string
	// Step says what the library was doing: "options", "call", "claim", "wait",
	// "action", "commit", "replay", "takeover", "hook", "metadata", "resolve",
	// "forget", "lookup", "drain".
	Step string
	// Err is what happened; never nil.
	Err error
}

// Error is the text of Err with the operation and step before it.
func (e *Error) Error() string {
	if e.Operation == "" {
		return "idempotency: " + e.Step + ": " + e.Err.Error()
	}
	return "idempotency: " + e.Operation + ": " + e.Step + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// InProgressError is the [ErrInProgress] of a call that didn't wait.
type InProgressError struct {
	// LeaseLeft is how long the holder's lease still ran when this call looked;
	// the holder may renew it. Use it as a hint for when to come back.
	LeaseLeft time.Duration
}

func (e *InProgressError) Error() string {
	return fmt.Sprintf("%v (lease left: %v)", ErrInProgress, e.LeaseLeft)
}

// Is makes errors.Is(err, ErrInProgress) hold.
func (e *InProgressError) Is(target error) bool { return target == ErrInProgress }

// ReplayedError is an error that this call's own action didn't return: it was
// recorded by the call that ran, and is given to everybody who comes later or
// waited meanwhile. Its text is the original's.
type ReplayedError struct {
	// Operation is the name of the operation that ran.
	Operation string
	// Attempt is the attempt that ran, 1 for the first.
	Attempt uint32
	// At is when the error was recorded, by the clock of the process that ran.
	At time.Time
	// TypeName is the Go type of the original error, as fmt's %T prints it.
	TypeName string

	text string
	err  error
}

// Error is the original error's text.
func (e *ReplayedError) Error() string { return e.text }

// Unwrap returns the original as far as it could be restored, for errors.Is and
// errors.As: the sentinels and types that Options.Errors registers (those of the
// standard library always), a [*PanicError] or [ErrNotKept]. What isn't
// registered keeps its text and its type's name ([codec.Restored]).
func (e *ReplayedError) Unwrap() error { return e.err }

// As makes errors.As(err, **Error) hold, as for every error of the library.
func (e *ReplayedError) As(target any) bool {
	p, ok := target.(**Error)
	if ok {
		*p = &Error{Operation: e.Operation, Step: "replay", Err: errors.New(e.text)}
	}
	return ok
}

// PanicError is how a panic of an action is recorded. The caller in whose
// goroutine the action ran gets the panic itself; everybody else this error,
// in a [*ReplayedError].
type PanicError struct {
	// Value is what the action panicked with. In a replay it is its text, or the
	// restored error where the action panicked with an error.
	Value any
	// Stack is the stack of the goroutine that panicked; empty in a replay.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value that the action panicked with, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// CommitError says that the action ran, and that its answer, which is returned
// beside this error, may not be recorded: a later call may run again. Where the
// answer was too large or couldn't be encoded (errors.Is ErrNotKept) the store
// remembers that the action ran, and it doesn't run again.
type CommitError struct {
	// Err is why; never nil.
	Err error
	// ActionErr is the error that the action returned; nil after a success.
	ActionErr error
}

func (e *CommitError) Error() string {
	if e.ActionErr != nil {
		return fmt.Sprintf("%v (its outcome could not be recorded: %v)", e.ActionErr, e.Err)
	}
	return fmt.Sprintf("the action ran, but its answer could not be recorded: %v", e.Err)
}

// Unwrap returns the action's error and the reason.
func (e *CommitError) Unwrap() []error {
	if e.ActionErr != nil {
		return []error{e.ActionErr, e.Err}
	}
	return []error{e.Err}
}

// ownErrors are the errors of this package, which an action may return that calls
// other operations, and the panics that are recorded.
var ownErrors = codec.ErrorSet{Sentinels: map[string]error{
	"idempotency.ErrInvalidKey":          ErrInvalidKey,
	"idempotency.ErrInProgress":          ErrInProgress,
	"idempotency.ErrWaitTimeout":         ErrWaitTimeout,
	"idempotency.ErrFingerprintMismatch": ErrFingerprintMismatch,
	"idempotency.ErrAbandoned":           ErrAbandoned,
	"idempotency.ErrNotAbandoned":        ErrNotAbandoned,
	"idempotency.ErrLeaseLost":           ErrLeaseLost,
	"idempotency.ErrReentrant":           ErrReentrant,
	"idempotency.ErrTooManyAttempts":     ErrTooManyAttempts,
	"idempotency.ErrNotKept":             ErrNotKept,
	"idempotency.ErrUndecodable":         ErrUndecodable,
}, Types: []codec.ErrorType{
	codec.ErrorTypeOf("idempotency.InProgressError", codec.ErrorTypeOptions[*InProgressError]{}),
	codec.ErrorTypeOf("idempotency.PanicError", codec.ErrorTypeOptions[*PanicError]{
		Encode: func(err *PanicError) ([]byte, error) { return fmt.Append(nil, err.Value), nil },
		Decode: func(data []byte, causes []error) (*PanicError, error) {
			if len(causes) == 1 { // it panicked with an error
				return &PanicError{Value: causes[0]}, nil
			}
			return &PanicError{Value: string(data)}, nil
		},
	}),
}}

// optionError says which field of which option struct is wrong.
func optionError(format string, args ...any) error {
	return &Error{Step: "options", Err: fmt.Errorf(format, args...)}
}

// isNil tells nil and typed nil: an interface that holds a nil pointer fails
// only when it is used, which is too late.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.Interface:
		return r.IsNil()
	}
	return false
}
