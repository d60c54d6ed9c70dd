// Package rivals measures what people use to have something run once, on the same
// work as Reprise: each used as its own documentation says, and each against the
// floor of its own client in the same run, in interleaved slices.
//
//	go -C benchmarks/rivals test -run '^$' -bench . -benchtime 250ms
//	go -C benchmarks/rivals test -race ./...
//
// It is a module of its own, so that nobody who uses Reprise gets these
// dependencies. Every rival has a file whose head says which version it is, which
// part of its documentation the usage follows, and what it promises. Promises
// are fields of [Rival] and tested in both directions: what a rival promises
// holds here, and what it doesn't promise doesn't, so nothing is measured that is
// set up wrong.
//
//	                        waits         errors  fencing  after a crash      answer
//	                                      replayed                            kept
//	redislock + GET/SET     polls         no      no       TTL, runs again    by hand
//	redsync + GET/SET       polls         no      no       TTL, runs again    by hand
//	rueidislock + GET/SET   is woken      no      no       TTL, runs again    by hand
//	go-redis/cache Once     in process    joined  no       runs again         yes
//	fiber's idempotency     in process    status  no       runs again         yes
//	singleflight            in process    joined  no       -                  no
//	watermill Deduplicator  no, drops     lost    no       forgets            no
//	Reprise                 is woken      yes     yes      lease, then policy yes
//
// The payload is 128 bytes, kept for 24 hours where there is a server and for ten
// seconds where there is none. Nobody encodes anything: all get bytes, but for
// HTTP, where a response is encoded by the middleware. A by-hand lock is measured
// twice: as most people write it, and by somebody who looks for the answer before
// asking for the lock, which makes replays cheap and fresh calls dearer. Where the
// lock is polled for, that one polls for the answer, too, so that nobody who waits
// queues for the lock; what remains of the wait is the interval, which is a
// choice. What answers replays from the memory of the process is to be compared
// with its like: reprise-rueidis, rueidislock-cached and go-redis-cache do,
// reprise-rueidis-nocache and the others ask the server.
//
// Scenarios are left out where a rival doesn't promise them: go-redis/cache and
// fiber run the action twice when two processes have the same key, watermill's
// duplicate gets no answer, and singleflight has nothing to replay.
//
// Not to be had from the Go module proxy when this was written, and so not
// measured: rueidisaside (a module of its own beside rueidis),
// repenguin22/idemlease, faustbrian/go-idempotency, udaykishore-resu/idem,
// dtm-labs/rockscache, mgtv-tech/jetcache-go and eko/gocache/lib/v4. Not of this
// kind: hibiken/asynq, which keeps a task from being enqueued twice, and whose
// callers wait for nothing.
package rivals
