// Command tracing shows what the traces of retried payments look like: two
// processes of a payments API are asked for the same payments, and the calls that
// didn't run lead, by a span link, to the one that did.
//
//	go run ./examples/tracing                # prints the traces as trees
//	go run ./examples/tracing -svg trace.svg # draws them too
//	OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 go run ./examples/tracing
//	REPRISE_REDIS_ADDR=localhost:6379 go run ./examples/tracing
//
// The third line sends the spans to a collector as well, by OTLP/HTTP
// (OTEL_EXPORTER_OTLP_HEADERS is honoured), and the fourth uses your Redis instead
// of an embedded one.
//
// What happens: a charge, a double click on the same process, a retry at the
// other one meanwhile and another one afterwards, the key again for another
// amount, a declined card and its retry, and a process that is killed after the
// card was charged and before anybody was told. The order is always the same; the
// exit status is 1 if a call got its answer in another way than it should.
//
// What to copy, in the order to read it:
//
//	api.go         a process: where observer and traced store come in
//	otlp.go        an exporter without dependencies; an application takes
//	               otlptracehttp
//
// The rest is the world around it: story.go what happens, process.go the
// processes, network.go the card network, redis.go the server that they share,
// lines.go and record.go how the spans come here, tree.go and svg.go what you see.
package main
