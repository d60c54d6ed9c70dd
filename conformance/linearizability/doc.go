// Package linearizability checks what the suite of package conformance can't:
// that concurrent calls of a backend, from several processes, with lost replies,
// late requests and leases that end meanwhile, are answered as if they had been
// made one after the other by the tables of package backend.
//
//	func TestLinearizability(t *testing.T) {
//		linearizability.Check(t, harness, linearizability.Options{})
//	}
//
// The harness is that of conformance.Run. [Check] connects several backends to one
// fresh store and lets goroutines loose on some dozen keys, a few on each: they
// claim, renew, take over, complete, release, abandon, look and wait, send
// requests again, send what was overtaken long ago, and meet at the ends of
// leases. Between them and the backends stands an injector of package faults. All
// calls and answers are recorded, and the checker porcupine looks, key by key, for
// one order of the calls that agrees with the contract. Where there is none the
// test fails: it says which answer can't be, and the fewest other calls that it
// takes to see that. A picture of the whole history, for a browser, and the same
// as text go to [Options.Dir].
//
// A backend that lives in the process is checked in bubbles of testing/synctest,
// hundreds of histories in a second:
//
//	for seed := range uint64(200) {
//		synctest.Test(t, func(t *testing.T) {
//			linearizability.Check(t, harness, linearizability.Options{Seed: seed + 1})
//		})
//	}
//
// One on a network gets a second or two of [Options.Duration], short leases
// ([conformance.Harness.Lease] of 50 ms), and more at night. Put a
// [faults.Proxy] between its clients and the server in the harness' Open, with
// [NoFaults] above it, and let [Options.During] restart the server.
//
// For a workload of your own there is [Recorder].
//
// # The model
//
// A key is in one of five states. What the phase is called when it is shown
// depends on the time:
//
//	state      from                                           shown as
//	---------  ---------------------------------------------  ---------------------------------------
//	unknown    the beginning; a record whose time is over;    the zero Record
//	           Forget
//	claimed    a taking; a repeated send; a renewal           Claimed, Abandoned when its lease is over
//	ended      Abandon                                        Abandoned
//	released   Release                                        Vacant
//	completed  Complete                                       Completed
//
// With it go the token, attempt, fence, fingerprint, metadata and outcome, all of
// which every answer must have as they are: the model knows them exactly. The
// transitions are the tables of Claim and Commit in package backend, row by row,
// and nothing else; where those leave a choice (whether a repeated Release is kept
// for its new Keep) both are followed. Fetch and Wait change nothing, and must
// show what was true at some moment during the call; Wait must not show its own
// token holding the key under a live lease.
//
// Time is an interval, never an event. A lease that was set by a call between
// from and to ends between from and to plus its length; a record is forgotten
// likewise. A call that needs the lease to run, or to be over, is possible if it
// can have been applied on the right side of that; either way the interval gets
// narrower: a lease that was seen to be over isn't seen to run again. LeaseLeft
// and Remaining narrow it too, and must lie in it. [Options.Tolerance] is added at
// every comparison.
//
// A call of unknown outcome (every error that package backend doesn't name) may
// take effect at any time after it was sent, or never. One that was certainly not
// applied ([backend.ErrNotApplied]) is no part of the history. Errors that no call
// deserves ([backend.ErrCorrupt] among them) fail the test by themselves.
//
// # What is not modelled
//
//   - A store that forgets. A wipe may have come at any time, and nearly every
//     history has an order with some wipes in it; where the loss is expected, use
//     other keys after it, and what was recorded before and after are two
//     histories. Servers that keep what they acknowledged (an append-only file)
//     are to be killed in the middle, without that.
//   - Progress: that a Wait is woken, that calls return within their ctx. Those
//     are rules of package conformance. A call that returns an error and may not
//     have been applied explains everything here.
//   - Several keys: the contract has no sentence on two of them.
//   - Close, [backend.ErrTooLarge] and the bounds: package conformance.
//   - A first send of a client that resends by itself, and that arrives after its
//     call was answered. See [Options.Resends].
//
// # What it catches
//
// Wrong backends of this package's tests, each until it was caught by seed 1 in a
// bubble; then some in front of a real Redis, behind a proxy that breaks one
// request of twenty-five. The histories of eight keys, or sixteen, are made at a
// time. Measured on two cores that others used too, by
//
//	go test -run TestCheckerCatches -v ./conformance/linearizability | grep -o '| .* |'
//
// MUTANTS
package linearizability
