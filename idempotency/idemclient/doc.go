// Package idemclient gives HTTP requests an Idempotency-Key and retries them
// under it: the client's half of an idempotent API.
//
//	transport, err := idemclient.New(http.DefaultTransport, idemclient.Options{})
//	client := &http.Client{Transport: transport}
//	response, err := client.Post(url, "application/json", body)
//
// A POST or PATCH gets a new key, unless its caller has set one, by the header or
// by [WithKey]. The key stays the same over all tries of the request. That is
// what makes it safe to send a request again whose answer was lost: a server that
// honours the key (package idemhttp, Stripe and others) runs it once and replays
// the answer.
//
// # What is retried
//
// Only requests with a key, and those whose method is idempotent by itself
// (RFC 9110, section 9.2.2). The body must be repeatable: it has a GetBody, as
// http.NewRequest gives it for readers in memory, or is at most Options.MaxBody
// long.
//
//	| try ended with                        | sent again                       |
//	|---------------------------------------|----------------------------------|
//	| connection refused, cut or reset      | yes                              |
//	| timeout of the try, of the connection | yes                              |
//	| answer cut in the middle              | yes, if its length was announced |
//	|                                       | and is at most MaxResponse       |
//	| 409 with Retry-After                  | yes: in flight elsewhere         |
//	| 425, 429, 502, 503, 504               | yes                              |
//	| a replayed answer, whatever it is     | no: it is final                  |
//	| any other status, 409 without         | no                               |
//	| Retry-After, 422 and 500 among them   |                                  |
//	| a certificate that isn't accepted, an | no                               |
//	| unknown host, a malformed request     |                                  |
//	| the end of the request's ctx          | no                               |
//
// Between two tries it waits for an exponential backoff with jitter, and at least
// for as long as Retry-After says, in seconds or as a date. A server that asks
// for more than Options.MaxRetryAfter isn't asked again. Nor does it wait past
// Options.MaxElapsed or the deadline of the ctx. When it gives up, the last
// answer is returned as it is, or the last error.
//
// A server whose middleware doesn't wait answers 409 with what is left of the
// holder's lease, which may be much longer than the first request still takes.
// Let it wait, as package idemhttp does by default.
//
// http.Transport repeats a request by itself when an idle connection turns out to
// be closed. Those repetitions carry the key, and aren't counted as tries.
//
// # Redirects
//
// http.Client follows 307 and 308 with the same method and body: the redirected
// request keeps its key, on another host too, for it is the same action. Each hop
// has its own tries. The other redirects are followed by a GET, which gets no
// key; one that the caller set as a header is copied by http.Client all the same.
package idemclient
