package idemclient

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// exchange is one request with all its tries.
type exchange struct {
	t      *Transport
	req    *http.Request
	header []string // of the key; nil: the request has it, or gets none
	key    string
	body   body
	tries  int

	// How the last try ended.
	response *http.Response
	err      error  // there is no response
	cut      error  // why the response, which is there, breaks off in the middle
	abandon  func() // ends what is left of the try
	waiting  bool   // the try is done with, and another one is to come
}

// try sends the request once. It returns nil when the outcome is final.
func (x *exchange) try() (struct{}, error) {
	x.waiting = false
	x.tries++
	x.send()
	problem := x.err
	if x.cut != nil {
		problem = x.cut
	}
	if x.req.Context().Err() != nil || !x.t.options.Retry(x.response, problem) {
		return struct{}{}, nil
	}
	if problem != nil {
		return struct{}{}, errAgain
	}
	after, given := retryAfter(x.response, time.Now())
	switch {
	case !given || after == 0:
		return struct{}{}, errAgain
	case after > x.t.options.MaxRetryAfter:
		return struct{}{}, nil
	}
	// Not all at once, who were told the same time.
	after += rand.N(x.t.options.MinBackoff)
	return struct{}{}, &backoff.RetryAfterError{Duration: after}
}

// send sends the request and notes how that ended.
func (x *exchange) send() {
	x.response, x.err, x.cut, x.abandon = nil, nil, nil, nil
	content, err := x.body.open(x.tries)
	if err != nil {
		x.err = err
		return
	}
	ctx, cancel := context.WithCancelCause(
		context.WithValue(x.req.Context(), sentKey{}, &Sent{Key: x.key, Attempts: x.tries}))
	x.abandon = func() { cancel(nil) }
	req := x.prepare(ctx, content)
	timer := startTimer(x.t.options.AttemptTimeout, func() { cancel(errAttemptTimeout) })
	response, err := x.t.base.RoundTrip(req)
	ahead := err == nil && x.readsAhead(response)
	if ahead {
		x.cut = readAhead(response)
	}
	if inTime := timer.stop(); !inTime && err == nil && !ahead {
		// The answer came, and its ctx has just been ended.
		_ = response.Body.Close()
		err = errAttemptTimeout
	}
	late := errors.Is(context.Cause(ctx), errAttemptTimeout)
	switch {
	case err != nil:
		cancel(nil)
		x.err = err
		if late {
			x.err = errAttemptTimeout
		}
		return
	case ahead:
		cancel(nil)
		if late && x.cut != nil {
			x.cut = errAttemptTimeout
		}
	default:
		response.Body = endWith(response.Body, x.abandon)
	}
	if response.Request == nil {
		response.Request = req
	}
	x.response = response
}

// prepare makes the request of one try.
func (x *exchange) prepare(ctx context.Context, content io.ReadCloser) *http.Request {
	req := x.req.WithContext(ctx)
	req.Body, req.ContentLength = content, x.body.length
	if x.header != nil {
		req.Header = req.Header.Clone()
		if req.Header == nil {
			req.Header = http.Header{}
		}
		req.Header[x.t.options.Header] = x.header
	}
	return req
}

// beforeRetry gives up the last answer, so that its connection can be used again,
// and tells about it.
func (x *exchange) beforeRetry(_ error, delay time.Duration) {
	x.waiting = true
	retry := Retry{Request: x.req, Attempt: x.tries, Err: x.err, Delay: delay}
	if x.response != nil {
		retry.Status, retry.Err = x.response.StatusCode, x.cut
		drain(x.response.Body, x.abandon)
	}
	if x.t.options.OnRetry != nil {
		x.t.options.OnRetry(x.req.Context(), retry)
	}
}

// errAttemptTimeout is the error of a try that took longer than AttemptTimeout.
var errAttemptTimeout error = attemptTimeout{}

type attemptTimeout struct{}

func (attemptTimeout) Error() string   { return "idemclient: no answer within AttemptTimeout" }
func (attemptTimeout) Timeout() bool   { return true }
func (attemptTimeout) Temporary() bool { return true }

// timer is a time.Timer that may be none.
type timer struct{ *time.Timer }

func startTimer(d time.Duration, f func()) timer {
	if d == 0 {
		return timer{}
	}
	return timer{time.AfterFunc(d, f)}
}

// stop returns false if the timer has already fired.
func (t timer) stop() bool { return t.Timer == nil || t.Stop() }
