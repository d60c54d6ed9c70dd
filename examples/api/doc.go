// Command api is a small payments API on package idemhttp, with a page to try it
// out: press Pay as often as you like, on three instances, over a network that you
// make bad, and watch what ran, what waited and what was replayed.
//
//	go run ./examples/api          # needs nothing installed; prints the page's address
//	go run ./examples/api -open    # and opens it
//	REPRISE_REDIS_ADDR=localhost:6379 go run ./examples/api
//
// What to try, in this order:
//
//  1. Press Pay. Press it again: the second one is replayed.
//  2. New order, and "Press it 10 times at once". One runs, the others wait, on
//     whichever instance they came to, and all get the same receipt.
//  3. "Lose replies" between browser and API, and press. The card was charged and
//     the browser doesn't know. It asks again, with the same key, at the next
//     instance.
//  4. The next charge's instance "is killed". Nobody was told of the charge, and the
//     key is held by a dead process, for one lease. Then somebody takes it over, asks
//     the card network, and finds the charge.
//  5. It "is paused". The same, but the process comes back, with an answer of its
//     own. It is told that it was overtaken, and answers what the others answered.
//  6. Everything bad, 10 times.
//  7. Change the amount and keep the key: 422, for this is another request.
//  8. "Without the library": the same handler without the middleware.
//
// What to copy, in the order to read it:
//
//	protect.go    the middleware: scope, what is recorded, and what to do about a
//	              request whose instance died
//	api.go        the handlers: nothing in them knows of keys, but the fencing token
//	              and the reference that they hand to the card network
//	gateway.go    a client of a card network that doesn't forget to ask again
//	instance.go   one process: store, executor, server, and how it ends
//	store.go      three Redis clients on the same records
//	observer.go   an observer: what the page shows of every step
//
// The rest is the world around it: ledger.go and network.go the card network,
// fleet.go and process.go the instances, balancer.go and link.go what lies between
// them and their clients, board.go, row.go, events.go and control.go what the page
// is told and what it can switch, demo.go all of it together, and page/ the page,
// without a build step or anything from elsewhere.
//
// The page shows what the observer reports (package idempotency's Observer, in the
// instances), what the load balancer saw and what stands in the ledger. It doesn't
// guess.
package main
