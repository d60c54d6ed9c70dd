// Command webhooks receives webhooks of Stripe and GitHub, and acts on each event
// once, however often, in whatever order and at how many instances it arrives.
//
//	go run ./examples/webhooks      # needs nothing installed
//	REPRISE_REDIS_ADDR=localhost:6379 go run ./examples/webhooks
//
// It starts two instances of the receiver on one store (in memory, or the Redis at
// REPRISE_REDIS_ADDR), and plays the senders: events that come twice at the same
// moment, that come again after an answer of 503, refunds that arrive before their
// charge, a redelivery by GitHub's button, and forged and stale signatures. At the
// end it checks that each event was booked once and that no forged one was;
// otherwise its exit status is 1.
//
// What to copy, in the order to read it:
//
//	receiver.go    one request: its signature, its verdict, its status
//	stripe.go      Stripe's events: key, what is done, in which order
//	github.go      GitHub's deliveries
//
// The rest is the world around it: books.go is what the events change, senders.go
// plays Stripe and GitHub, report.go is what you see. The shapes of Stripe's events
// are those of testdata/stripe.json.
package main
