package idemclient

import (
	"errors"
	"net/http"
	"reflect"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Transport is an http.RoundTripper that gives requests a key and retries them.
// It is safe for concurrent use, and owns nothing while no request is under way.
type Transport struct {
	base    http.RoundTripper
	options Options
}

// New makes a Transport that sends by base; nil is http.DefaultTransport. It
// returns an error that names the field for options that are out of their bounds.
func New(base http.RoundTripper, options Options) (*Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	if v := reflect.ValueOf(base); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, optionError("base is a nil %T", base)
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Transport{base: base, options: options}, nil
}

// RoundTrip sends the request until an answer is final or a bound is reached; see
// the package's documentation. It changes nothing of req but its body, which it
// reads and closes, like every http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	header, key, keyed, err := t.keyOf(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if !keyed && !idempotent(req.Method) || req.URL == nil || req.URL.Host == "" {
		return t.base.RoundTrip(req)
	}
	body, err := t.bodyOf(req)
	if err != nil {
		return nil, err
	}
	x := &exchange{t: t, req: req, header: header, key: key, body: body}
	tries := t.options.MaxAttempts
	if !body.repeatable {
		tries = 1
	}
	elapsed := t.options.MaxElapsed
	if deadline, ok := req.Context().Deadline(); ok {
		// An answer in the hand is better than a wait that the ctx ends.
		elapsed = max(min(elapsed, time.Until(deadline)), 1)
	}
	_, err = backoff.Retry(req.Context(), x.try,
		backoff.WithBackOff(&backoff.ExponentialBackOff{
			InitialInterval: t.options.MinBackoff, MaxInterval: t.options.MaxBackoff,
			Multiplier: 2, RandomizationFactor: 0.5,
		}),
		backoff.WithMaxTries(uint(tries)),
		backoff.WithMaxElapsedTime(elapsed),
		backoff.WithNotify(x.beforeRetry),
	)
	if x.waiting {
		return nil, err // the ctx ended
	}
	return x.response, x.err
}

// CloseIdleConnections closes those of base, if it can: http.Client asks for it.
func (t *Transport) CloseIdleConnections() {
	if closer, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

// Sent is how a request was sent.
type Sent struct {
	// Key is its key; as it stands in the header where the caller had set that.
	// Empty for a request without one.
	Key string
	// Attempts is how often it was tried.
	Attempts int
}

type sentKey struct{}

// SentOf tells how the request of a response was sent; false for a response that
// came by no Transport, or to a request that gets no key and no retries.
func SentOf(response *http.Response) (Sent, bool) {
	if response == nil || response.Request == nil {
		return Sent{}, false
	}
	sent, ok := response.Request.Context().Value(sentKey{}).(*Sent)
	if !ok {
		return Sent{}, false
	}
	return *sent, true
}

// errAgain tells backoff.Retry to go on; what happened is in the exchange.
var errAgain = errors.New("try again")
