// Command payments is a payments API that charges every card once, whatever
// happens on the way: the library's main job, on real input.
//
//	go run ./examples/payments            # needs nothing installed
//	go run ./examples/payments -naive     # the same without the library
//	REPRISE_REDIS_ADDR=localhost:6379 go run ./examples/payments
//
// It starts a Redis (embedded, or the one at REPRISE_REDIS_ADDR), a card network
// that is not idempotent, and three instances of the API, each a process of its
// own. A client then plays requests.jsonl, 300 payments in the shape that Stripe
// uses, with what happens to them in real life: double clicks, timeouts after
// which the client tries another instance, declined cards, a busy network, a key
// that is used again for another amount, and instances that are killed after the
// card was charged and before anybody was told. At the end it checks that each
// key was charged once and that all who used it got the same answer; otherwise
// its exit status is 1.
//
// What to copy, in the order to read it:
//
//	charge.go      the operation: what is recorded, what is not, and what to do
//	               about a charge whose process died
//	handler.go     one HTTP request: its key, its fingerprint, its answer
//	apierror.go    which error becomes which HTTP status
//	carderror.go   an error that is still itself after a replay
//	gateway.go     a client of a card network that doesn't forget to ask again
//	instance.go    one process: Redis client, store, executor, server
//	outcome.go     an observer: how each request got its answer
//
// The rest is the world around it: network.go the card network, fleet.go the
// processes, redis.go the server that they share, client.go and scenarios.go who
// calls them, payment.go what is in the file, check.go, report.go and progress.go
// what you see. naive.go is the handler that most of us would write first.
package main
