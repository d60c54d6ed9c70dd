package redigo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Names of the verbs in errors.
const (
	opClaim  = "redigo: claim"
	opCommit = "redigo: commit"
	opWait   = "redigo: wait"
	opFetch  = "redigo: fetch"
	opForget = "redigo: forget"
)

var errReply = errors.New("the server's reply is of an unknown form")

// classify tells the class of an error that came after a command was sent, nil
// where nobody knows what became of it, and the error with what can be said to
// make it clear.
func classify(err error) (clear, class error) {
	var reply redis.Error
	if !errors.As(err, &reply) {
		if errors.Is(err, backend.ErrCorrupt) {
			return err, backend.ErrCorrupt
		}
		return err, nil
	}
	switch {
	case hasPrefix(reply, "MOVED ", "ASK ", "CROSSSLOT "):
		return fmt.Errorf("%w: %w", errCluster, err), backend.ErrPermanent
	case hasPrefix(reply, "ERR Protocol error: invalid bulk length"):
		// The limit is the server's proto-max-bulk-len.
		return err, backend.ErrTooLarge
	}
	return err, wire.Classify(string(reply))
}

// classOfDial is the class of an error that came before the exchange was sent.
func classOfDial(err error) error {
	var reply redis.Error
	switch {
	case errors.As(err, &reply) && wire.Classify(string(reply)) == backend.ErrPermanent,
		errors.Is(err, errCluster), errors.Is(err, errSentinel), errors.Is(err, errOld):
		return backend.ErrPermanent
	}
	return backend.ErrNotApplied
}

// setRefused makes the refusal of SET with NX and GET clear.
func setRefused(err error) error {
	if hasPrefix(err, "ERR syntax error") {
		return fmt.Errorf("%w: SET with NX and GET was refused: %w", errOld, err)
	}
	return err
}

// unreadable is the error of a record that can't be read.
func unreadable(op string, err error) error {
	if err == nil {
		return nil
	}
	return &wire.Error{Op: op, Err: err}
}

// hasPrefix tells whether err is a server's reply that begins with one of the
// prefixes.
func hasPrefix(err error, prefixes ...string) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(string(reply), prefix) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// ended is ctx.Err(), as soon as the deadline is over: dialling and redigo count
// on clocks of their own, which may be a moment ahead of the ctx's.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deadline, ok := ctx.Deadline()
	if !ok || time.Now().Before(deadline) {
		return nil
	}
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return context.DeadlineExceeded
	}
}

// withContext makes sure that the error of a verb whose ctx has ended says so.
func withContext(ctx context.Context, err error) error {
	end := ended(ctx)
	switch {
	case end == nil || errors.Is(err, end):
		return err
	case err == nil:
		return end
	default:
		return &endedError{end: end, err: err}
	}
}

// endedError is an error of redigo's after the ctx ended.
type endedError struct{ end, err error }

func (e *endedError) Error() string   { return e.end.Error() + ": " + e.err.Error() }
func (e *endedError) Unwrap() []error { return []error{e.end, e.err} }
