package idemclient

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Bounds of Options.
const (
	MaxMaxAttempts = 1000
	MaxDuration    = 24 * time.Hour
	MaxMaxBody     = 1 << 30
)

// Options says which requests get a key and how they are retried. The zero value
// of a field is its default; a negative one or one above its bound is an error
// of New that names the field.
type Options struct {
	// Methods are those whose requests get a new key. Default: POST and PATCH.
	Methods []string
	// Header carries the key. Default: Idempotency-Key.
	Header string
	// Raw sends the key as it is, as Stripe's clients do. Default: in quotes, as a
	// string of structured field values (RFC 8941), which the IETF draft of the
	// header asks for. Package idemhttp takes both for the same key.
	Raw bool
	// NewKey makes a key: 1 to 255 printable ASCII bytes, never the same again. It
	// is called by many goroutines at once. Default: a random UUID (version 4).
	NewKey func() string

	// MaxAttempts is how often a request is tried, the first time included; 1
	// means no retries. Default: 5, which with the default backoff and a server
	// that refuses at once is over in about 3 s: more for work that must outlast a
	// restart.
	MaxAttempts int
	// MaxElapsed is how long after the first try has begun another one may still
	// begin. Default: 2 min.
	MaxElapsed time.Duration
	// MinBackoff is what the first wait is about: between half and one and a half
	// of it. It doubles from try to try up to MaxBackoff. Default: 200 ms.
	MinBackoff time.Duration
	// MaxBackoff: at least MinBackoff. Default: 10 s, or MinBackoff where that is
	// longer.
	MaxBackoff time.Duration
	// MaxRetryAfter is the longest Retry-After that is waited for; a response that
	// asks for more is returned at once. Default: 1 min.
	MaxRetryAfter time.Duration
	// AttemptTimeout is how long one try may take until the header of its answer is
	// there (with its body where that is read ahead, see MaxResponse). Without it
	// a server that says nothing holds the request until its ctx ends, or for as
	// long as base waits (http.Transport.ResponseHeaderTimeout). Default: no limit.
	AttemptTimeout time.Duration

	// MaxBody is the size in bytes up to which a body without GetBody is read into
	// memory before the first try, so that it can be sent again. A longer one is
	// sent once. Default: 1 MiB.
	MaxBody int64
	// MaxResponse is the size in bytes up to which an answer is read before it is
	// returned, so that one that is cut in the middle is asked for again. Answers of
	// unknown length are never read ahead: they may be streams. Default: 1 MiB.
	MaxResponse int64
	// StreamResponses never reads an answer ahead.
	StreamResponses bool

	// Retry says whether a try that ended so is followed by another one; it isn't
	// asked when the request's ctx has ended. Response is nil where err isn't, but
	// for one that was cut in the middle. It must not read or close its body. The
	// other conditions (key, body, bounds) hold all the same. Default:
	// [DefaultRetry].
	Retry func(response *http.Response, err error) bool
	// OnRetry is told of every retry before the wait for it. It is called in the
	// goroutine of the request.
	OnRetry func(ctx context.Context, retry Retry)
}

// Retry is a try that failed and is followed by another one.
type Retry struct {
	// Request is the request as the caller gave it; its body must not be read.
	Request *http.Request
	// Attempt is the try that failed, 1 for the first.
	Attempt int
	// Status is the status of its answer; 0 where there was none.
	Status int
	// Err is why there was no whole answer; nil where there was one.
	Err error
	// Delay is how long it is waited before the next try.
	Delay time.Duration
}

func (o Options) withDefaults() (Options, error) {
	for _, field := range []struct {
		name         string
		value        *time.Duration
		defaultValue time.Duration
	}{
		{"MaxElapsed", &o.MaxElapsed, 2 * time.Minute},
		{"MinBackoff", &o.MinBackoff, 200 * time.Millisecond},
		{"MaxBackoff", &o.MaxBackoff, max(10*time.Second, o.MinBackoff)},
		{"MaxRetryAfter", &o.MaxRetryAfter, time.Minute},
		{"AttemptTimeout", &o.AttemptTimeout, 0},
	} {
		switch v := *field.value; {
		case v == 0:
			*field.value = field.defaultValue
		case v < time.Millisecond || v > MaxDuration:
			return o, optionError("%s is %v, want %v to %v", field.name, v, time.Millisecond, MaxDuration)
		}
	}
	if o.MaxBackoff < o.MinBackoff {
		return o, optionError("MaxBackoff is %v, below MinBackoff, which is %v", o.MaxBackoff, o.MinBackoff)
	}
	for _, field := range []struct {
		name  string
		value *int64
	}{{"MaxBody", &o.MaxBody}, {"MaxResponse", &o.MaxResponse}} {
		switch v := *field.value; {
		case v == 0:
			*field.value = 1 << 20
		case v < 0 || v > MaxMaxBody:
			return o, optionError("%s is %d, want at most %d", field.name, v, MaxMaxBody)
		}
	}
	switch {
	case o.MaxAttempts == 0:
		o.MaxAttempts = 5
	case o.MaxAttempts < 0 || o.MaxAttempts > MaxMaxAttempts:
		return o, optionError("MaxAttempts is %d, want at most %d", o.MaxAttempts, MaxMaxAttempts)
	}
	if o.Methods == nil {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	o.Methods = slices.Clone(o.Methods)
	for _, method := range o.Methods {
		if !isToken(method) {
			return o, optionError("Methods has %q, which is no method", method)
		}
	}
	if o.Header == "" {
		o.Header = "Idempotency-Key"
	}
	if !isToken(o.Header) {
		return o, optionError("Header is %q, which is no name of a header", o.Header)
	}
	o.Header = http.CanonicalHeaderKey(o.Header)
	if o.NewKey == nil {
		o.NewKey = newUUID
	}
	if o.Retry == nil {
		o.Retry = DefaultRetry
	}
	return o, nil
}

func optionError(format string, args ...any) error {
	return fmt.Errorf("idemclient: options: "+format, args...)
}
