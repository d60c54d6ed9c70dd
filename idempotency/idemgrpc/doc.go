// Package idemgrpc is a gRPC unary interceptor: a call that carries an
// idempotency key is executed once, however often it is sent, and every sender
// gets the one response, message or status.
//
//	protect, err := idemgrpc.UnaryServerInterceptor(executor, idemgrpc.Options{
//		Methods: []string{"/shop.Orders/Pay"},
//		Scope:   func(ctx context.Context, method string) (string, error) { return accountOf(ctx) },
//	})
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(authenticate, protect))
//
// It is a module of its own, so that Reprise itself doesn't need gRPC. Streaming
// calls have no interceptor here, and go on untouched.
//
// [UnaryClientInterceptor] is the other side: it gives a call a key, which stays
// the same when gRPC sends the call again.
//
// # Keys
//
// The key is in the metadata under idempotency-key: one value, 1 to 255 bytes of
// printable ASCII. It belongs to the scope that Options.Scope returns, and not to
// a method: with another method or request the same key is refused, while the
// first call runs too. Requests are compared by the method and a SHA-256 of the
// deterministic encoding, unknown fields included.
//
// # What happens
//
//	event                              the executing client gets   a retry gets                     recorded
//	handler answers with a message     the message                 the same message                 the message
//	... with a status                  the status                  the same code, message, details  the status
//	... ResourceExhausted, Aborted     the status                  runs                             nothing: key released
//	... Unavailable, Canceled,         the status                  OnAbandoned: runs by default     nothing: key abandoned
//	    DeadlineExceeded
//	... with an error that is none     Unknown, as gRPC does       the same                         the status
//	handler panics                     the panic passes on         OnAbandoned: runs by default     nothing: key abandoned
//	client leaves, handler runs        -                           the response                     the response
//	client leaves while it waits       -                           the response                     the first one's
//	message that can't be kept         the message                 Internal RESPONSE_NOT_KEPT       that it was executed
//	first call still running           -                           waits, then the same response    -
//	... NoWait, or WaitTimeout over    -                           Aborted IN_PROGRESS, RetryInfo   -
//	another method or request          -                           FailedPrecondition KEY_REUSED    -
//	process dies in the handler        the connection is cut       waits for the lease's end, then  nothing: key abandoned
//	                                                               OnAbandoned: runs by default
//	... OnAbandoned is Fail            the same                    Internal OUTCOME_UNKNOWN         nothing: key abandoned
//	... Reconcile finds nothing out    the same                    Unavailable OUTCOME_UNKNOWN,     nothing: key abandoned
//	                                                               RetryInfo
//	store down before the handler      Unavailable STORE_DOWN,     runs once it is up               nothing
//	                                   RetryInfo
//	... FailOpen                       the response, marked        runs                             nothing
//	store down after the handler       the response                OnAbandoned, or the response     nothing, or the response
//	lease lost to another attempt      that attempt's response, or that attempt's response          that attempt's response
//	                                   Aborted LEASE_LOST
//	no key, Required                   InvalidArgument KEY_MISSING the same                         nothing
//	malformed key                      InvalidArgument             the same                         nothing
//	                                   KEY_MALFORMED
//	no scope                           Internal, or Scope's status the same                         nothing
//
// Which statuses are recorded is Options.RetentionFor's to say. The words in
// capitals are the Reason of a google.rpc.ErrorInfo with domain [Domain] in the
// status' details, so that a client can tell the interceptor's statuses from the
// handler's. KEY_REUSED is FailedPrecondition, not InvalidArgument: the request
// is well formed, and would be right under another key. IN_PROGRESS is Aborted,
// which maps to HTTP's 409, and comes with a google.rpc.RetryInfo and with
// grpc-retry-pushback-ms, which gRPC's own retries follow where their policy lists
// the code.
//
// # Metadata of the handler
//
// The header and trailer metadata that the handler sets is sent once its outcome
// is recorded, also what it hands to grpc.SendHeader. Its own client gets all of
// it; of a recorded response there is what Options.Metadata lists, by default
// nothing. A replay has idempotency-replayed: true in its header, for those who
// waited too, and a response that was made without protection has
// idempotency-unprotected: true.
//
// # The handler's ctx
//
// It has the values of the call's ctx, but neither its cancellation nor its
// deadline: once begun, the handler finishes and its response is recorded,
// whether or not somebody still waits. It ends with cause
// idempotency.ErrLeaseLost where another attempt may have taken over.
// idempotency.ExecutionOf has attempt and fencing token. grpc.SetSendCompressor
// finds no stream in it: call that in an interceptor outside. On shutdown call
// grpc.Server.GracefulStop, then Executor.Drain, then close the store.
//
// # Clients' retries
//
// gRPC repeats a call below the interceptors, so that one key covers all its
// tries. Let the retryPolicy of the service config list UNAVAILABLE, and ABORTED
// where the server doesn't wait.
package idemgrpc
