package idempotency

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

var errorTypes = []struct {
	err  error
	name string
}{
	{ErrInvalidKey, "invalid_key"},
	{ErrInProgress, "in_progress"},
	{ErrWaitTimeout, "wait_timeout"},
	{ErrFingerprintMismatch, "fingerprint_mismatch"},
	{ErrAbandoned, "abandoned"},
	{ErrNotAbandoned, "not_abandoned"},
	{ErrLeaseLost, "lease_lost"},
	{ErrReentrant, "reentrant"},
	{ErrNotKept, "not_kept"},
	{errEndedByPanic, "panic"},
	{ErrTooManyAttempts, "too_many_attempts"},
	{ErrUndecodable, "undecodable"},
	{backend.ErrSuperseded, "superseded"},
	{backend.ErrTooLarge, "too_large"},
	{backend.ErrInvalid, "invalid_request"},
	{backend.ErrCorrupt, "corrupt"},
	{backend.ErrClosed, "closed"},
	{backend.ErrPermanent, "refused_permanently"},
	{context.Canceled, "canceled"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{backend.ErrNotApplied, "not_applied"},
}

// ErrorType classifies an error for traces, metrics and logs (the attribute
// error.type of OpenTelemetry's semantic conventions): a word for the library's
// errors and for those of a ctx ("in_progress", "lease_lost", "canceled"...),
// "panic" for a panic, and the Go type for every other one, of the original error
// where it is a replay. It never holds an error's text.
func ErrorType(err error) string {
	var replayed *ReplayedError
	if errors.As(err, &replayed) {
		var panicked *PanicError
		switch {
		case errors.Is(err, ErrNotKept):
			return "not_kept"
		case errors.As(err, &panicked):
			return "panic"
		}
		return replayed.TypeName
	}
	var own *Error
	library := errors.As(err, &own)
	for _, known := range errorTypes {
		if errors.Is(err, known.err) {
			return known.name
		}
	}
	var commit *CommitError
	if errors.As(err, &commit) {
		return "commit"
	}
	if library {
		err = own.Err
	}
	return fmt.Sprintf("%T", err)
}
