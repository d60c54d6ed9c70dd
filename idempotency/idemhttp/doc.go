// Package idemhttp is a net/http middleware: a request that carries an
// Idempotency-Key is executed once, however often it is sent, and every sender
// gets the one response.
//
//	protect, err := idemhttp.New(executor, idemhttp.Options{
//		Scope: func(r *http.Request) (string, error) { return accountOf(r.Context()) },
//	})
//	mux.Handle("POST /payments", protect(http.HandlerFunc(createPayment)))
//
// It is a func(http.Handler) http.Handler, as chi and gorilla take it, and echo by
// its wrapper. It belongs inside authentication, which Scope needs, and outside
// of what reads the body. The handler reaches attempt and fencing token by
// idempotency.ExecutionOf(r.Context()).
//
// # Keys
//
// The header's value is a structured-field string, as the IETF draft has it
// (draft-ietf-httpapi-idempotency-key-header), or the key itself, as Stripe's
// clients send it: "k" and k are the same key. Parameters, lists, several header
// lines, an empty or too long key and characters that aren't printable ASCII are
// malformed. A key belongs to the scope that Options.Scope returns for its
// request; a client can't reach the responses of another scope. The path is no
// part of it: see [Key].
//
// # The same request
//
// Method, path, query, body and Options.FingerprintHeaders make the fingerprint.
// A key that comes with another one gets 422, while the first request is running
// too. A client that sends a form as multipart must send its boundary again, or
// the API must bring its own Options.Fingerprint.
//
// # What happens
//
//	event                              the executing client gets       a retry gets                     recorded
//	handler answers 2xx to 4xx         the response                    the same response                the response
//	... 408, 425 or 429                the response                    runs                             nothing: key released
//	... 5xx                            the response                    OnAbandoned: runs by default     nothing: key abandoned
//	... 5xx, RecordServerErrors        the response                    the same response                the response
//	handler panics, ErrAbortHandler    what net/http does: a cut       OnAbandoned: runs by default     nothing: key abandoned
//	... with RecordServerErrors        the same                        500 failed                       the panic
//	client leaves, handler runs        -                               the response                     the response
//	client leaves while it uploads     -                               runs                             nothing
//	client leaves while it waits       -                               the response                     the first one's response
//	handler flushes                    the response as it comes        the whole response               the whole response
//	body longer than MaxResponse       the response as it comes        500 response_not_kept            that it was executed
//	handler writes less than declared  what net/http does: a cut       500 response_not_kept            that it was executed
//	handler hijacks                    what the handler sends          500 response_not_kept            that it was executed
//	1xx (Early Hints)                  at once                         none                             nothing
//	trailers                           as the handler set them         the same trailers                the trailers
//	first request still running        -                               waits, then the same response    -
//	... NoWait, or WaitTimeout over    -                               409 in_progress, Retry-After     -
//	another payload                    -                               422 key_reused                   -
//	process dies in the handler        a cut                           waits for the lease's end, then  nothing: key abandoned
//	                                                                   OnAbandoned: runs by default
//	... OnAbandoned is Fail            a cut                           500 outcome_unknown              nothing: key abandoned
//	... Reconcile finds nothing out    a cut                           503 outcome_unknown, Retry-After nothing: key abandoned
//	store down before the handler      503 unavailable, Retry-After    runs once it is up               nothing
//	... FailOpen                       the response, marked            runs                             nothing
//	store down after the handler       the response, after             OnAbandoned once the lease       nothing, or the response
//	                                   CommitTimeout at most           has ended, or the response
//	lease lost to another attempt      that attempt's response,        that attempt's response          that attempt's response
//	                                   503 unavailable, or a cut
//	                                   where a part has gone out
//	body longer than MaxBody           413                             413                              nothing
//	no key, Required                   400 key_missing                 400                              nothing
//	malformed key                      400 key_malformed               400                              nothing
//
// What the middleware itself answers is application/problem+json (RFC 9457), with
// the titles of the draft, or what Options.Problem writes. A request that was or
// may have been executed, and whose response is not to be had, gets 500 and never
// 4xx: a client takes that for "nothing has happened", and sends the order again
// under a new key.
//
// # Waiting
//
// The draft has 409 for a request whose key is in use. Here it waits by default
// and gets the same response, woken by a push; with Options.NoWait, or when
// Options.WaitTimeout is over, it gets 409 with a Retry-After from what is left of
// the holder's lease.
//
// # The handler's response
//
// A response is held back until it is recorded, so that no client has one that
// the key hasn't; then it is written in one Write with a Content-Length. At the
// first Flush it is let go, and passes through as it comes, still recorded up to
// MaxResponse; a client that leaves isn't reported to the handler then, so that
// what is recorded is whole. A body that becomes too large to be kept passes
// through from there on, with its write errors. What net/http does for a handler
// is kept up: an implicit 200, the second WriteHeader ignored, no body with 204
// and 304, the guessed Content-Type (made once, and replayed), HEAD.
//
// Of the header, what Options.ResponseHeaders allows and the handler itself has
// set is recorded; what the middleware outside has set is its own, on a replay
// too. Set-Cookie, what authenticates, Date and hop-by-hop headers never are. A
// replay carries Idempotency-Replayed: true, for those who waited too.
//
// The handler's writer has http.Flusher, http.Hijacker and http.Pusher where the
// server's has them, io.ReaderFrom and io.StringWriter, and works with
// http.ResponseController. http.CloseNotifier, which is deprecated, is missing.
//
// # Clients that leave, and shutdown
//
// The handler runs in the goroutine of ServeHTTP. Its ctx has the request's
// values, but neither its cancellation nor its deadline: once begun it finishes,
// and its response is recorded, whether or not somebody is left to read it. The
// ctx ends with cause idempotency.ErrLeaseLost where another attempt may have
// taken over. On shutdown call http.Server.Shutdown, then Executor.Drain, which
// also waits for handlers whose connections are gone (HTTP/2, http.TimeoutHandler),
// then close the store.
//
// The handler reads the body from memory, with the request's own ContentLength
// and with GetBody. Endless streams (server-sent events) don't belong behind the
// middleware.
//
// # Nested
//
// A middleware inside another one on the same executor, with the same scope,
// passes its request on: it is protected already. On another executor it keeps a
// record of its own.
//
// # Observing
//
// The executor's Observer sees each request as a call of operation Options.Name.
// [Key] makes the key for Executor.Lookup and Executor.Forget. To resolve an
// abandoned key, declare an operation of the same name on *[Response] with
// [Codec].
package idemhttp
