// Package benchmarks measures the backends side by side, each against the floor
// of its own client: the commands SET and GET, and the bare protocol, which is
// what a call sends, taken from the wire and sent again without this library.
//
//	go test -run '^$' -bench . ./benchmarks
//	go test -run '^$' -bench 'Call/goredis/fresh/128B' -benchtime 2s ./benchmarks
//
// Needs a redis-server on PATH; without one it skips all but the benchmarks of
// the memory backend. Package benchmarks/internal/measure has the method and the
// units; the names are
//
//	Floor/CLIENT/WHAT/SIZE/c=N   set, 2set, get
//	Bare/CLIENT/WHAT/SIZE/c=N    fresh, replay: the protocol alone
//	Call/CLIENT/WHAT/SIZE/c=N    fresh, replay, hot: calls of an executor
//	Local/WHAT                   the memory backend, and joining a call that runs in
//	                             the process, against x/sync/singleflight
//	Wake/CLIENT                  a waiter in another process
//	Herd/CLIENT/WHERE/n=N        many callers of one key
//	Callers/CLIENT/WHERE/n=N     the same with an action of 50 ms
//	Error, Codec, Tracing, HTTP  what each costs
//	Record/WHAT                  what a record costs the server's memory
//	Scale/WHAT/...               keys, waiters, payload, renewals, pool
//	Server/WHAT/SIZE             time in the server by command
//
// c=N is N goroutines; c=1 runs client and server on one CPU, c=1-unpinned where
// the scheduler puts them. The module benchmarks/report runs all of this and
// makes tables and charts of it.
package benchmarks
