package goredis

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Names of the verbs in errors.
const (
	opClaim  = "goredis: claim"
	opCommit = "goredis: commit"
	opWait   = "goredis: wait"
	opFetch  = "goredis: fetch"
	opForget = "goredis: forget"
)

// retries are what the client would do by itself.
type retries struct {
	max         int
	first, last time.Duration
}

func retriesOf(client redislib.UniversalClient) retries {
	r := retries{max: 3, first: 8 * time.Millisecond, last: 512 * time.Millisecond}
	if c, ok := client.(interface{ Options() *redislib.Options }); ok {
		if o := c.Options(); o != nil {
			r = retries{max: o.MaxRetries, first: o.MinRetryBackoff, last: o.MaxRetryBackoff}
		}
	}
	return r
}

// request is one request that is sent until its outcome is known or there is no
// point in sending it again. Every request of the protocol may be sent again
// after an unknown outcome.
type request struct {
	op    string
	sends int
	// uncertain: an earlier send may have been applied.
	uncertain bool
}

// again takes the error of a send that may have written so many times, waits,
// and tells whether to send again. If not, its error is that of the verb.
func (r *request) again(ctx context.Context, policy retries, err error, writes int) (bool, error) {
	class, transient := classify(err, writes)
	retry := transient && r.sends < policy.max && ctx.Err() == nil
	if retry {
		r.uncertain = r.uncertain || class == nil
		r.sends++
		if pause(ctx, policy.backoff(r.sends)) {
			return true, nil
		}
	}
	if r.uncertain && (class == backend.ErrNotApplied || class == backend.ErrPermanent) {
		class = nil
	}
	return false, &wire.Error{Op: r.op, Class: class, Err: withContext(ctx, err)}
}

// classify tells the class of an error of the client, nil where the outcome is
// unknown, and whether sending again may help.
func classify(err error, writes int) (class error, transient bool) {
	var reply redislib.Error
	if errors.As(err, &reply) {
		class := wire.Classify(reply.Error())
		return class, class == backend.ErrNotApplied && !redislib.HasErrorPrefix(err, "OOM")
	}
	if errors.Is(err, redislib.ErrClosed) && writes == 0 {
		return backend.ErrNotApplied, false
	}
	if writes == 0 {
		return backend.ErrNotApplied, true
	}
	return nil, true
}

// withContext makes sure that the error of a verb whose ctx has ended says so.
func withContext(ctx context.Context, err error) error {
	ended := ctx.Err()
	if ended == nil {
		// The client's own deadline, taken from the ctx, may be a moment ahead.
		if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
			ended = context.DeadlineExceeded
		}
	}
	switch {
	case ended == nil || errors.Is(err, ended):
		return err
	case err == nil:
		return ended
	default:
		return &endedError{ctx: ended, err: err}
	}
}

// endedError is an error of the client after the ctx ended.
type endedError struct{ ctx, err error }

func (e *endedError) Error() string   { return e.ctx.Error() + ": " + e.err.Error() }
func (e *endedError) Unwrap() []error { return []error{e.ctx, e.err} }

// backoff is the pause before a retry, half of it at random.
func (r retries) backoff(retry int) time.Duration {
	if r.first <= 0 {
		return 0
	}
	d := r.first << min(retry-1, 20)
	if d > r.last || d <= 0 {
		d = max(r.last, r.first)
	}
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// unanswered is the error of a verb whose ctx ended before its commands did.
func unanswered(ctx context.Context, op string) error {
	return &wire.Error{Op: op, Err: ctx.Err()}
}
