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
// A call of unknown outcome (every error that package backend doesn't name, and
// [backend.ErrClosed]) may take effect at any time after it was sent, or never.
// One that was certainly not applied ([backend.ErrNotApplied]) is no part of the
// history. Errors that no call deserves ([backend.ErrCorrupt] among them) fail the
// test by themselves.
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
//   - A store without a clock, that ends leases later than they were asked for.
//     Its Options.Tolerance has to cover that.
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
//	wrong backend                                    histories  operations  store's time  real time
//	-----------------------------------------------  ---------  ----------  ------------  ---------
//	a claim reads, then writes                               9         302         254ms       18ms
//	a takeover reads, then writes                           10         262         249ms       15ms
//	a commit reads, then writes                             14         397         445ms        9ms
//	commits compare no token                                 9         249         254ms        4ms
//	releases compare no token                               11         354         393ms       11ms
//	a commit's retry is superseded                           9         246         247ms        6ms
//	the last outcome wins                                    8         248         247ms        5ms
//	any repeated commit succeeds                             8         248         247ms        5ms
//	a lapsed lease voids the commit                          8         242         224ms        5ms
//	a commit drops the fingerprint                           8         242         224ms        4ms
//	a refused commit extends the lease                       8         248         247ms       10ms
//	a repeated send changes nothing                         10         334         399ms        6ms
//	a repeated send is a new attempt                        10         276         254ms        9ms
//	a repeated send brings its Keep                         11         343         373ms        8ms
//	a renewal is a claim                                    24         772         944ms       10ms
//	a renewal revives an abandoned claim                    13         370         419ms       13ms
//	a late renewal shortens the retention                    9         315         344ms        8ms
//	a live lease is taken over                               9         276         318ms        9ms
//	Seen isn't compared                                      9         285         320ms        5ms
//	attempts aren't counted                                  9         312         344ms        4ms
//	the fence asked for is ignored                           9         264         254ms        5ms
//	the fence asked for is the fence                        11         322         344ms        4ms
//	a release deletes                                       11         320         358ms       11ms
//	a release of an unknown key leaves nothing              15         414         435ms        7ms
//	a released token is revived                            113        4124        5.303s       32ms
//	Abandon waits for the lease's end                        9         273         226ms        5ms
//	the retention is the lease                              10         335         371ms        3ms
//	the lease is set in a second step                       11         374         400ms        5ms
//	leases end by the client's clock                         8         242         247ms        3ms
//	leases count from the sending                            8         299         333ms        2ms
//	a lapsed record disappears                              10         327         341ms        5ms
//	LeaseHeld isn't believed                                27         913        1.156s        8ms
//	LeaseHeld isn't asked for                               10         298         248ms        7ms
//	everything is forgotten now and then                    17         553         663ms       12ms
//	an error is an unknown key                              15         453         512ms        4ms
//	a lost reply is not applied                             12         346         386ms        4ms
//	Wait returns early                                      10         325         334ms        4ms
//	Wait returns on any wake-up                             38        1271        1.623s        9ms
//	Wait returns what it saw first                          11         315         344ms        3ms
//	Wait answers from a cache                               11         325         371ms        6ms
//	Fetch reads from a replica                               8         229         224ms        2ms
//	Fetch renews                                             8         249         224ms        2ms
//	Fetch answers from a cache, on Redis                    16         398                    162ms
//	Seen isn't compared, on Redis                           21         614                    286ms
//	the retention is set in a second step, on Redis         16         387                    243ms
//	a release deletes, on Redis                             16         516                    250ms
//	commits compare no token, on Redis                      17         509                    164ms
//	a claim is told what it asked for, on Redis             16         307                     69ms
//	a commit's retry is superseded, on Redis                33         922                    619ms
//	a renewal is a claim, on Redis                          29         674                    634ms
package linearizability
