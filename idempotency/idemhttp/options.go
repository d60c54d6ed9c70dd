package idemhttp

import (
	"context"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// Bounds and defaults of Options.
const (
	// MaxKeyLength is the greatest Options.MaxKey and its default: 255 bytes, as in
	// Stripe's API.
	MaxKeyLength = 255
	// DefaultMaxBody and DefaultMaxResponse are 1 MiB.
	DefaultMaxBody     = 1 << 20
	DefaultMaxResponse = 1 << 20
	// MaxMaxBody is the greatest Options.MaxBody: a body is held in memory.
	MaxMaxBody = 1 << 30
	// MaxFingerprintSecret bounds Options.FingerprintSecret, in bytes.
	MaxFingerprintSecret = 1 << 10
)

// Options says what the middleware protects and how. The zero value of a field
// is its default, but Scope is required. What is out of its bounds is an error of
// New that names the field.
type Options struct {
	// Scope returns who the request comes from, as the server knows it: a tenant, a
	// user, an account. Two clients share answers if and only if their scopes are
	// equal, so it must come from the authentication and never from what a client
	// may choose. Required; [Global] where all clients are one. It returns 1 byte or
	// more. An error, or an empty scope, is answered with 500, or with the *Problem
	// that the error is or wraps; nothing runs then.
	Scope func(r *http.Request) (string, error)
	// Headers names the request headers that may hold the key. A request that has
	// more than one of them, or one of them twice, is malformed. Default:
	// Idempotency-Key.
	Headers []string
	// Required: a request without a key gets 400. Default: it goes to the handler,
	// unprotected.
	Required bool
	// Strict takes only keys that are structured-field strings, in double quotes,
	// as the IETF draft has them. Default: raw keys too, and k and "k" are the same
	// key.
	Strict bool
	// Methods lists the methods that are protected; requests with others go to the
	// handler as they are. Default: POST and PATCH.
	Methods []string
	// MaxKey is the length of the longest key in bytes, without its quotes.
	// 1 to MaxKeyLength. Default: MaxKeyLength.
	MaxKey int
	// MaxBody is the length of the longest request body in bytes; a longer one gets
	// 413. Bodies are held in memory. 1 to MaxMaxBody. Default: DefaultMaxBody.
	MaxBody int64
	// MaxResponse is the length of the longest response body in bytes that is kept.
	// A longer one goes to its caller as it comes; the key is marked as executed,
	// never runs again, and later callers get a problem instead (see the package's
	// table). What idempotency.Options.MaxPayload doesn't take, headers included,
	// isn't kept either. Default: DefaultMaxResponse.
	MaxResponse int

	// FingerprintHeaders names the request headers that are part of the fingerprint,
	// beside method, path, query and body; Host is the request's. Default: none.
	FingerprintHeaders []string
	// FingerprintSecret makes the fingerprint an HMAC, so that nobody who reads the
	// store can guess bodies by trying. All instances must have the same one; a new
	// one turns retries of older requests into 422. At most MaxFingerprintSecret
	// bytes. Default: SHA-256 without a secret.
	FingerprintSecret []byte
	// Fingerprint replaces the whole computation. It gets the body, which it must
	// not change, and returns at most idempotency.MaxFingerprint bytes; none means
	// that any request with the key is the same. An error is answered with 400, or
	// with the *Problem that it is or wraps.
	Fingerprint func(r *http.Request, body []byte) ([]byte, error)

	// NoWait: a request whose key is held by another gets 409 at once. Default: it
	// waits, and gets the same response.
	NoWait bool
	// WaitTimeout is how long a request waits in total for others; then it gets 409.
	// Default: the executor's; idempotency.Unlimited: as long as its client.
	WaitTimeout time.Duration

	// RecordServerErrors records responses of 500 and above and panics of the
	// handler, as Stripe does. Default: the key is left abandoned, and OnAbandoned
	// decides on the retry.
	RecordServerErrors bool
	// RetentionFor replaces the policy: it says what becomes of the handler's
	// response. panicked is what the handler panicked with, http.ErrAbortHandler
	// included; then response is nil. Neither may be changed. Default:
	// [StandardRetention].
	RetentionFor func(response *Response, panicked any) idempotency.RetentionChoice
	// ResponseHeaders lists the headers of the response that are recorded; a name
	// that ends in * stands for all that begin so. Set-Cookie, what authenticates,
	// and hop-by-hop headers are never recorded: naming one is an error. Content-Type
	// and Content-Encoding, without which nobody can read the body, always are. So are
	// trailers, but for the same exceptions. Default: [DefaultResponseHeaders].
	ResponseHeaders []string
	// ReplayedHeader is set to true on a response that is a replay. Default:
	// Idempotency-Replayed.
	ReplayedHeader string
	// UnprotectedHeader is set to true on a response that was made without
	// protection (idempotency.Options.FailOpen). Default: Idempotency-Unprotected.
	UnprotectedHeader string

	// Docs is the URL of the API's documentation of its keys: the type of problems,
	// and a Link with rel=describedby. Default: none.
	Docs string
	// Problem writes the middleware's own responses. Default: [WriteProblem].
	Problem func(w http.ResponseWriter, r *http.Request, problem *Problem)

	// Name is the operation's: see idempotency.OperationOptions. A key that was used
	// under another name gets 422. Default: http.
	Name string
	// Retention is how long a response is replayed. Default: the executor's.
	Retention time.Duration
	// OnAbandoned says what a retry gets after a crash, or after a response that
	// wasn't recorded and may have had an effect. Default: Rerun, or Reconcile where
	// that function is set.
	OnAbandoned idempotency.AbandonedPolicy
	// Reconcile finds out what an abandoned attempt did; idempotency.Answer's value
	// is the response that is recorded and replayed. Answer(nil, nil) says that the
	// request was executed, but not how it was answered (response_not_kept). See [SplitKey] and Metadata for
	// what it can know of the request.
	Reconcile func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[*Response], error)
	// MaxAttempts is how many attempts a key gets: see idempotency.OperationOptions.
	// Default: no limit.
	MaxAttempts int
	// Metadata says more about the request, for Reconcile, Lookup and observers: see
	// idempotency.Call. Default: nothing.
	Metadata func(r *http.Request) map[string]string
}
