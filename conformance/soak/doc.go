// Package soak is a test of everything together, and exports nothing: worker
// processes call the real executor over the real backends on real servers, and
// are killed, stopped, cut off and lied to, while the servers restart, fail over
// and move their slots. What every caller got is then held against what package
// idempotency promises.
//
//	go test ./conformance/soak                                  # some seconds
//	REPRISE_SOAK=10m go test -race -v -timeout 30m ./conformance/soak
//
// # What happens
//
// The test binary starts itself again as four workers at a time, each with one of
// the three clients, so that all of them meet on the same keys. Eight goroutines
// of each call operations with the policies Rerun (attached and detached), Fail and
// Reconcile, on hot keys on which everybody is at once, on fresh ones and on ones
// of long ago; some with a deadline of milliseconds, some without waiting. Some
// actions outlive a lease, some fail for good, some fail harmlessly first, and
// some answers are too large for one command. The side effect of an action is a
// line in a ledger that refuses the effects of older fences; Reconcile asks that
// ledger.
//
// There are four scenarios, two at a time:
//
//   - AOF_always: one server that is killed and started again on its append-only
//     file. Nothing may be lost.
//   - AOF_everysec: the same, but while an fsync is under way such a server confirms
//     writes that it has not handed to the kernel (for up to two seconds; see
//     flushAppendOnlyFile in Redis' aof.c), and they die with its process. What was
//     confirmed after its buffer was last seen to be empty may be lost: that is
//     counted and printed. Nothing else may.
//   - Sentinel: a master that is killed, or fails over while it is well and goes on
//     taking writes for a moment. What wasn't replicated may be lost: it is counted
//     and printed, and whatever is told on one history of the store must still
//     agree.
//   - Cluster: three masters whose slots move, and stay in two places for a moment.
//     Through go-redis and rueidis, for redigo doesn't speak to a cluster. Nothing
//     may be lost.
//
// In all of them workers kill themselves at every step of an execution (before the
// claim, with the claim in flight, after it, before and after the side effect,
// before, during and after the commit, while they wait, renew or reconcile, after
// the answer) and are killed by the parent at any time; they are stopped
// (SIGSTOP) for longer than a lease; verbs and requests lose their replies, come
// late or not at all, or find a silent connection; the connections of a worker are
// cut, or carry nothing for a while; scripts are flushed, clients killed, writes
// paused.
//
// The load comes in rounds. After each of them all workers have ended, of their own
// accord or not; keys that wait for a person are resolved, forgotten or left alone.
// In the end a worker to which nothing happens calls the keys once more.
//
// # What must hold
//
// For each key, as long as nobody has forgotten it. The names are those in a
// failure.
//
//   - one outcome: no two attempts' outcomes are confirmed or answered.
//   - every answer the same: all calls that got an answer, value or error, got the
//     same one, of the same attempt and fence.
//   - an answer that was made: it is that of the attempt whose fence it has, or one
//     that Reconcile or Resolve gave.
//   - nothing runs after the outcome: no attempt is granted, and none runs, with a
//     newer fence than the outcome's.
//   - fences grow: from attempt to attempt, and in the order of time.
//   - no overtaken answer: the ledger has accepted the effect of the answer, so no
//     newer fence had been there before.
//   - no live lease is taken: no attempt is granted while an earlier one, that didn't
//     end itself, is known to have time left. So an action runs again only where its
//     process died, was stopped or didn't get its renewals through.
//   - one run per attempt.
//   - Reconcile is asked first: where an attempt was abandoned, the action runs only
//     after Reconcile said so, of that very attempt.
//   - Fail doesn't run again: an action doesn't run after an abandoned attempt.
//   - one effect: under Fail, and under Reconcile that tells the ledger its fence,
//     the ledger accepts one effect of a key.
//   - nobody is late: a call returns by its deadline. The time for which its process
//     was stopped doesn't count, and the margin is generous.
//   - waiters wake: no call waits in vain while the answer is there, or while nobody
//     holds the key. Only the time counts in which the store was in its reach, and
//     the servers answered the parent soon.
//   - every key settles: in the end every call gets an answer, under Fail or an
//     undecided Reconcile also ErrAbandoned.
//   - a dead holder blocks for one lease: no lease is longer, and when all workers
//     have ended no key stays held.
//   - nothing leaks, no connection is left, every key ends: workers that end have no
//     goroutine left, servers no client, and no key is without TTL. Excepted are the
//     goroutines of a connection that rueidis seldom leaves open in Sentinel.
//   - broken, workers, it was a soak: a worker saw an answer that was torn, or ended
//     in a panic or a data race; or nothing happened that could prove anything.
//
// The logs are held against these rules while the workers run, so that a soak of
// hours fails in the minute in which something breaks. In AOF_everysec and Sentinel
// a violation between whose two ends the store may have forgotten something counts
// as a loss.
//
// # Environment
//
//   - REPRISE_SOAK: how long the load of all scenarios together lasts, 12s without
//     it. The test takes about twice that time at 20s, and less than it for an hour,
//     for two scenarios run at a time.
//   - REPRISE_SOAK_SEED: replays a run as far as scheduling allows: what is called,
//     which worker crashes where, which request is broken. It is printed at the start
//     (go test -v) and with a failure.
//   - REPRISE_SOAK_MUTANTS=all: tries every bug of TestSoakCatches, which puts a bug
//     into the backend of all workers and wants the soak to fail. Without it two.
//
// As for every test of this repository, a missing redis-server or redis-sentinel
// skips it, or fails it with REPRISE_REQUIRE_REDIS=1.
//
// # How to read a failure
//
// A violation names its rule, the key, the attempts and the workers. Below it stand
// the last events of that key and of the workers that had to do with it, in the
// order of time since the start:
//
//	no live lease is taken: key d/hot-3-1: attempt 2 (worker 4) was granted it while attempt 1 (worker 2) had a lease for another 430ms at least
//	   912.130ms worker 2 send token 5f0c11
//	   912.801ms worker 2 granted token 5f0c11 attempt 1 fence 1795491812122809 (670µs before)
//	   ...
//
// The first letter of a key is its policy: r Rerun, d Rerun and Detach, f Fail, c
// Reconcile. A "granted" or "ended" event has how long before the request was
// sent; tokens are cut to six digits. Events of the parent are what it did to
// servers ("note"), from when to when the store may have forgotten ("losing",
// "kept") and what may be silent ("silent", of worker 0: for all). An event is
// written before what it tells of where that could excuse something, a crash for
// instance, and after it where it tells of a result.
//
// The directory that the failure names has everything: journal.log with all
// events, one JSON object a line; the ledger in 64 files, a key in one of them;
// story-N.txt with all lines of the Nth violation. A run that went well removes
// it.
package soak
