// Command streams handles the messages of a Redis Stream once each, with workers
// that are killed while they work.
//
//	go run ./examples/streams      # needs nothing installed
//	REPRISE_REDIS_ADDR=localhost:6379 go run ./examples/streams
//
// It starts a Redis (embedded, or the one at REPRISE_REDIS_ADDR) and three workers
// of one consumer group, each a process of its own, and adds orders to the stream.
// Some orders are added twice, as by a producer whose XADD got no answer; some
// workers are killed with SIGKILL, before or after they have booked an order; some
// orders fail at first, and some always. At the end it checks that each order was
// booked once, or is in the dead-letter stream; otherwise its exit status is 1.
//
// What to copy, in the order to read it:
//
//	orders.go    the consumer: key, handler, which errors are final, and what to do
//	             about an order whose worker died
//	worker.go    the loop: XREADGROUP, XAUTOCLAIM of what dead workers left, and
//	             XACK or the dead-letter stream by the verdict
//
// The rest is the world around it: ledger.go is where orders are booked, plan.go
// which orders there are and what happens to them, fleet.go the processes,
// redis.go the server, report.go what you see.
package main
