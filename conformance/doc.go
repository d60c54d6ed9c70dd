// Package conformance checks that a backend keeps the contract of package
// backend, sentence by sentence.
//
// # How to run it against your backend
//
// Write one test that tells the suite how to get a store:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Open: func(tb testing.TB) func() backend.Backend {
//				address := startServer(tb) // a fresh, empty store; stopped by tb.Cleanup
//				return func() backend.Backend { // one more process on it
//					store, err := yours.New(address)
//					if err != nil {
//						tb.Fatal(err)
//					}
//					tb.Cleanup(func() { store.Close() })
//					return store
//				}
//			},
//		})
//	}
//
// A store needn't be a server of its own: a database, a prefix or a flush of a
// running one will do, as long as what one Open returns sees nothing of what
// another wrote, and other tests don't flush it. Run it with -race, and with
// -count=20 before you trust it. Rules are subtests with names that stay:
//
//	go test -race -run 'TestConformance/Wait'                 # one group
//	go test -race -run 'TestConformance/Wait/WakesOnComplete$' # one rule
//	go test -race -skip 'TestConformance/Commit/LargestOutcome' # all but one
//
// A failure says which rule is broken and its sentence, what was seen instead,
// and where to look. A rule that needs what the backend or the harness lacks is
// skipped and says so: a backend that is no [backend.Forgetter] or no io.Closer,
// and the fields [Harness.Corrupt], [Harness.Disconnect] and [Harness.Silence].
// Give the last three where you can: they show what becomes of a double charge on
// a bad day. Package faults, below this one, has a proxy that cuts and silences
// connections.
//
// # Time
//
// No rule depends on milliseconds. What must happen at once (a push that wakes a
// waiter) has a long lease and some seconds of patience, so that only a push can
// have done it; what must happen in time (a lease that ends) is asked of the
// store until it says so. Where the store's clock doesn't follow real time, give
// [Harness.Advance]; the suite then moves the clock and doesn't wait. On a store
// that follows real time nearly all of the suite's time is the waiting for leases
// of [Harness.Lease] to end, in as many tests at once as -parallel says.
//
// A backend without a network can be checked in bubbles of testing/synctest, see
// [Rule.Run].
//
// # How the suite is tested
//
// The tests of this package hold a reference backend to the rules, and some 140
// backends that are each wrong in one way: every one is failed by the rules that
// it breaks, and every rule fails at least one. The backends over Redis have some
// that are wrong on the wire. For the night there are runs that take longer:
//
//	go test ./conformance -run AllRules -v -args -all-rules              # which rules catch each wrong backend
//	go test ./conformance -run Proof -timeout 1h -args -proof            # the right ones 200 times, on virtual clocks
//	go test ./backends/internal/interop -run Proof -timeout 1h -args -proof # each client 20 times, on Redis
//	go test ./backends/internal/interop -run WrongRedis -v -timeout 1h -args -all-rules
//
// # Benchmarks
//
// [RunBenchmarks] measures a backend by the same code as the backends of this
// module, in sub-benchmarks with names that stay:
//
//	go test -run '^$' -bench 'Conformance/Fresh'                 # all sizes and numbers of goroutines
//	go test -run '^$' -bench 'Conformance/Replay/16KiB/c=1$'     # one
//	go test -run '^$' -bench 'Conformance/Ratios' -benchtime 50x # what travels between machines
//
// All vary the number of goroutines: c=1, c=16 and c=128. Some vary the size of
// the outcome before that: 128B, 16KiB and 256KiB.
//
//   - Fresh/SIZE/c=N: a claim of an unknown key and the commit of its outcome.
//   - Replay/SIZE/c=N: a claim of a completed key, of 16 in turn: the reply has
//     the outcome.
//   - Fetch/SIZE/c=N: a look at a completed key, of 16 in turn.
//   - Wake/SIZE/c=N: from the sending of a commit until those who wait through
//     another connection have the outcome; c counts them.
//   - Lost/c=N: a claim of a key that another holds, of 16 in turn: the reply
//     has what is left of the lease.
//   - Renewal/c=N: a renewal of a claim that is held, each goroutine its own.
//   - Release/c=N: the release of a claim that is held.
//   - Takeover/c=N: the abandoning of a claim that is held, and the claim that
//     takes the key over.
//   - Ratios/c=N: all of the above but Wake in turn, in short blocks, with 128
//     B: the rate of each divided by Fetch's in the same block, the median of
//     the blocks.
//
// # Rules
//
//   - Claim/Fresh: An unknown key is taken by a claim with Seen 0: Claimed by
//     its token, attempt 1, with its fingerprint and metadata, in the reply and
//     for every process.
//   - Claim/FenceIsAtLeastOne: The first holder of a key gets the fence 1 where
//     its request names none, so that Seen can name it.
//   - Claim/FenceIsAtLeastTheRequests: A taking gets the greater of the stored
//     fence+1 and the request's Fence.
//   - Claim/LosingIsAResult: A claim of a key that another token holds returns
//     the holder's record and no error, with 0 < LeaseLeft <= the holder's
//     lease.
//   - Claim/LosingChangesNothing: A claim that loses changes nothing of the
//     holder's record: not a field, not its lease, not how long it is kept.
//   - Claim/RepeatedSendKeepsTheClaim: A claim sent again by the token that
//     holds the key gets the key again: the same attempt, fence, fingerprint
//     and metadata, and its lease becomes Lease.
//   - Claim/RepeatedSendSetsTheLease: A repeated send makes the lease Lease,
//     where that is shorter too.
//   - Claim/RepeatedSendRevivesALapsedClaim: A repeated send by the holder
//     whose lease lapsed, and whom nobody overtook, makes the key Claimed
//     again.
//   - Claim/RepeatedSendKeepsKeep: Keep is stored when the key is taken and not
//     changed by a repeated send.
//   - Claim/CompletedAnswersEverybody: A claim of a completed key returns the
//     record with its outcome and changes nothing, whoever asks and whatever
//     Seen is.
//   - Claim/UnknownKeyNeedsSeenZero: A claim with a Seen that isn't 0 doesn't
//     take an unknown key: it means a record that isn't there any more.
//   - Claim/VacantKeyNeedsItsFence: A released key is taken by a claim whose
//     Seen is its fence, at once and from every process, and by no other.
//   - Claim/ReleasedTokenIsDead: A token that released a key never gets it
//     again, not by the right Seen either: a late claim must not come back.
//   - Claim/TakingStoresTheRequests: Who takes a key that had a holder stores
//     its own fingerprint, metadata and Keep, empty ones too.
//   - Claim/FingerprintIsNotCompared: A claim with another fingerprint is
//     answered like any other, with the stored fingerprint in the record:
//     comparing it is the caller's.
//   - Claim/AttemptAndFenceGrow: From holder to holder the attempt grows by one
//     and the fence strictly, through releases, abandons and lapsed leases
//     alike.
//   - TakeOver/ByTheFenceSeen: An abandoned key, by a lapsed lease or by
//     Abandon, is taken by a claim whose Seen is its fence: attempt+1 and
//     fence+1, with the request's token, fingerprint and metadata.
//   - TakeOver/NeedsSeen: A claim with Seen 0 takes no abandoned key: it
//     returns the record, Abandoned and unchanged, for the caller to decide on.
//   - TakeOver/OnlyTheAttemptSeen: A takeover takes the attempt whose fence it
//     has seen and no other, neither an earlier nor a later one.
//   - TakeOver/SeenIsAFenceNotAHolder: A takeover of a token's earlier claim
//     doesn't take that token's later one: Seen is compared with the fence, not
//     with who held it.
//   - TakeOver/NeverALiveLease: A takeover never takes a key whose lease is
//     running, though its Seen be the right fence.
//   - TakeOver/NeverARevivedLease: A takeover that was decided on a lapsed
//     lease doesn't take the key when its holder has revived the lease since.
//   - TakeOver/RepeatedSendIsStillYours: A takeover that is sent again, because
//     its reply was lost, gets the same claim again: no second attempt, no new
//     fence.
//   - TakeOver/LateDuplicateTakesNothing: A duplicate of a takeover that
//     arrives when its sender has ended takes nothing, neither from the
//     sender's remains nor from a later holder's.
//   - TakeOver/FencesTheOldHolder: Whoever was overtaken has no effect any
//     more: its claim, renewal, Complete, Release and Abandon leave the new
//     holder's record as it is, while the new holder runs and after every
//     ending of it.
//   - TakeOver/LapsedIsAbandonedInEveryReply: A claimed record whose lease is
//     over is Abandoned in every reply: to Fetch, Wait, a claim that doesn't
//     take it and another's renewal.
//   - TakeOver/NotBeforeTheLeaseEnds: A lease doesn't end before its time: no
//     reply says Abandoned, and no takeover succeeds, earlier than Lease after
//     the claim was sent.
//   - Renewal/SetsTheLease: A renewal by the holder makes the lease Lease,
//     longer or shorter than what is left, and keeps all else, whatever the
//     request carries.
//   - Renewal/HoldsTheKey: A holder that renews in time is never reported as
//     abandoned, however long it goes on.
//   - Renewal/ExtendsTheWholeLife: A renewal moves the end of the record with
//     the lease: it is kept for the stored Keep after the new end of the lease.
//   - Renewal/RevivesALapsedClaim: A renewal by the holder whose lease lapsed,
//     and whom nobody overtook, makes the key Claimed again.
//   - Renewal/RecreatesAForgottenClaim: A renewal of an unknown key re-creates
//     the claim with the request's attempt, fence, fingerprint, metadata and
//     Keep, whatever Seen is.
//   - Renewal/NeverTakesAVacantKey: A renewal by a holder that was overtaken
//     never takes a key that was released since, though its fence be the right
//     one.
//   - Renewal/NeverTakesAnAbandonedKey: A renewal by a holder that was
//     overtaken never takes a key that was abandoned since, though its fence be
//     the right one.
//   - Renewal/NeverTakesALiveKey: A renewal by a token that another has
//     overtaken returns the new holder's record with LeaseLeft and changes
//     nothing.
//   - Renewal/NeverReopensACompletedKey: A renewal of a completed key returns
//     the record with its outcome and changes nothing, by the token that
//     completed it too.
//   - Renewal/NeverRevivesAReleasedClaim: A renewal by the token that released
//     the key changes nothing.
//   - Renewal/NeverRevivesAnAbandonedClaim: A renewal by the token that ended
//     its claim by Abandon changes nothing.
//   - Commit/CompletesTheClaim: Complete by the holder makes the record
//     Completed with the outcome, at once and for every process: in Fetch, Wait
//     and the reply to every claim.
//   - Commit/FromAnotherConnection: A claim made through one connection can be
//     committed through another: a token belongs to whoever knows it.
//   - Commit/RepeatedIsSuccess: Complete sent again with the same outcome by
//     the token that completed is a success and changes nothing, however often
//     and from wherever.
//   - Commit/FirstOutcomeWins: Complete with another outcome by the token that
//     completed is ErrSuperseded and changes nothing.
//   - Commit/NotTheHolder: Complete by a token that doesn't hold the key is
//     ErrSuperseded and changes nothing, whatever state the key is in and
//     whatever LeaseHeld says.
//   - Commit/AfterTheLease: Complete by the holder whose lease lapsed, and whom
//     nobody overtook, is applied: a lapsed lease may be taken over, it isn't
//     void.
//   - Commit/AfterTakeoverIsSuperseded: Complete by a holder whose lease lapsed
//     and who was overtaken is ErrSuperseded and changes nothing.
//   - Commit/AfterAbandonApplies: Complete by the token that ended its claim by
//     Abandon is applied while nobody has overtaken it.
//   - Commit/AfterReleaseIsSuperseded: Complete by the token that released the
//     key is ErrSuperseded and changes nothing.
//   - Commit/KeepsTheClaims: A commit that is applied keeps the claim's token,
//     attempt, fence, fingerprint and metadata, whatever the request carries
//     and however the claim ends.
//   - Commit/ForgottenClaimIsKept: Complete of an unknown key with LeaseHeld
//     stores the outcome with the request's token, attempt, fence, fingerprint
//     and metadata: the store forgot the claim, nobody has overtaken it.
//   - Commit/UnknownWithoutLeaseIsSuperseded: Complete of an unknown key
//     without LeaseHeld is ErrSuperseded and stores nothing: the sender may
//     have been overtaken by an answer that is forgotten.
//   - Commit/FenceOfAForgottenClaim: A commit into an unknown key whose sender
//     was never told a fence stores one of at least 1, whatever the ending.
//   - Commit/OutlivesTheLease: A completed record doesn't turn abandoned when
//     the lease of its claim would have ended.
//   - Commit/LaterTokensLoseAll: Once a key is completed no verb by any token
//     changes it: the outcome and how long it is kept stay until the retention
//     ends.
//   - Commit/EmptyOutcomeIsAnOutcome: An empty outcome completes the key like
//     any other; nil and empty are the same, and any other outcome is another.
//   - Commit/BinaryOutcome: An outcome may hold any bytes and comes back byte
//     for byte, in every reply.
//   - Commit/OutcomesOfManySizes: Outcomes of every size come back byte for
//     byte, their commits may be repeated, and the first wins, whatever way the
//     store takes for their size.
//   - Commit/LargeOutcomeIsFenced: A large outcome is held to the rules of a
//     small one: overtaken, released and forgotten claims commit nothing, a
//     lapsed one and one that held its lease do.
//   - Commit/LargestOutcome: An outcome of MaxOutcome bytes and one a byte
//     longer are kept whole or refused with ErrTooLarge; then the sender still
//     holds the key and may complete it with a smaller one.
//   - Release/KeepsAttemptAndFence: Release by the holder makes the key Vacant
//     for everybody, with the claim's token, attempt, fence, fingerprint and
//     metadata, for Keep of the release.
//   - Release/RepeatedIsSuccess: Release sent again by the token that released
//     is a success, and the key stays vacant by that token.
//   - Release/AfterTheLease: Release by the holder whose lease lapsed, and whom
//     nobody overtook, makes the key vacant.
//   - Release/AfterAbandonApplies: Release by the token that ended its claim by
//     Abandon makes the key vacant, attempt and fence kept.
//   - Release/CompletedIsSuperseded: Release of a completed key is
//     ErrSuperseded and changes nothing, by the token that completed it too.
//   - Release/NotTheHolder: Release by a token that doesn't hold the key is
//     ErrSuperseded and changes nothing, whatever state the key is in: a waiter
//     that gives up must not end the leader's claim.
//   - Release/UnknownLeavesATrace: Release of an unknown key, with LeaseHeld or
//     without, leaves a vacant record by that token with the request's attempt
//     and fence; others take it by that fence.
//   - Release/BeforeLateClaim: A claim that arrives after its own release is
//     refused: it would hold the key for nobody.
//   - Release/KeepEnds: A released record, or the trace of a release, is
//     forgotten when Keep is over, and not before; then the key is taken by
//     Seen 0 and starts at attempt 1.
//   - Abandon/EndsTheLease: Abandon by the holder makes the key Abandoned at
//     once for everybody, all else kept, for Keep of the request; it can be
//     taken over at once.
//   - Abandon/NeverRevived: A claim that its own token ended by Abandon is
//     never revived by it, neither by a claim, whatever its Seen, nor by a
//     renewal, with its lease running or lapsed when it ended.
//   - Abandon/RepeatedIsKeptForTheNewKeep: Abandon sent again by the token that
//     abandoned is a success; the record stays abandoned and is kept for the
//     new Keep.
//   - Abandon/AfterTheLease: Abandon by the holder whose lease lapsed, and whom
//     nobody overtook, is applied: the record is kept for Keep of the request.
//   - Abandon/CompletedOrReleasedIsSuperseded: Abandon by the token that
//     completed or released the key is ErrSuperseded and changes nothing.
//   - Abandon/NotTheHolder: Abandon by a token that doesn't hold the key is
//     ErrSuperseded and changes nothing, whatever state the key is in.
//   - Abandon/ForgottenClaimIsKept: Abandon of an unknown key with LeaseHeld
//     leaves an abandoned record by this token with the request's attempt,
//     fence, fingerprint and metadata; it can be taken over by its fence.
//   - Abandon/UnknownWithoutLeaseStoresNothing: Abandon of an unknown key
//     without LeaseHeld is a success and stores nothing.
//   - Abandon/KeepEnds: An abandoned record is forgotten when Keep is over, and
//     not before: Keep of the request after Abandon, Keep of the claim after
//     the end of a lapsed lease.
//   - Wait/ZeroTokenReturnsAtOnce: Wait with the zero token returns at once
//     with the record as it stands, whatever its state, with 0 < LeaseLeft <=
//     the lease of a claimed one.
//   - Wait/UnknownKeyReturnsAtOnce: Wait for an unknown key returns the zero
//     Record at once, whatever the token.
//   - Wait/AnotherHolderReturnsAtOnce: Wait for a token that doesn't hold the
//     key returns at once with the record of the one that does, with 0 <
//     LeaseLeft <= its lease.
//   - Wait/EndedClaimReturnsAtOnce: Wait for a token whose claim has ended
//     returns at once with the record: completed with its outcome, released or
//     abandoned.
//   - Wait/ChangesNothing: Wait changes nothing of the record, whether it
//     returns at once or is ended by its ctx.
//   - Wait/CancelIsPrompt: Wait returns soon after its ctx is cancelled with an
//     error that is context.Canceled, while the lease still runs, and leaves
//     other waiters waiting.
//   - Wait/DeadlineIsTheCtxsError: Wait whose ctx runs out returns soon after
//     with an error that is context.DeadlineExceeded.
//   - Wait/LeavesNoGoroutine: Waits that were cancelled leave no goroutine
//     behind, however many there were.
//   - Wait/DoesNotStarveOthers: However many wait, claims and commits go on: a
//     Wait holds nothing that another verb needs.
//   - Wait/WakesOnComplete: Complete wakes those who wait, in every process,
//     with the outcome, long before the lease ends.
//   - Wait/WakesOnRelease: Release wakes those who wait, in every process, long
//     before the lease ends.
//   - Wait/WakesOnAbandon: Abandon wakes those who wait, in every process, long
//     before the lease would have ended.
//   - Wait/WakesOnEveryKey: A commit wakes those who wait for its key whatever
//     bytes the key is made of, and nobody who waits for another.
//   - Wait/WakesAtTheLeasesEnd: Wait returns by itself when the lease that it
//     saw has ended, with the record Abandoned: nobody pushes for a holder that
//     died.
//   - Wait/FollowsRenewals: Wait doesn't return while the holder goes on
//     renewing, though the lease that it saw first is over, and is woken by the
//     commit then.
//   - Wait/ManyWaitersAllWake: All who wait for a key are woken by its commit,
//     in every process, each with the record.
//   - Wait/CommitBetweenLookAndSleep: A commit that comes at any moment while
//     Wait begins wakes it: it registers for wake-ups before it looks.
//   - Wait/WakesAgainAndAgain: Those who wait for one holder after another are
//     woken by each commit: a Wait that returned takes no later wake-up with
//     it.
//   - Fetch/UnknownIsTheZeroRecord: Fetch of an unknown key returns the zero
//     Record and a nil error, and doesn't make it known.
//   - Fetch/Claimed: Fetch of a claimed key has the claim's fields, no outcome,
//     0 < LeaseLeft <= Lease, and Remaining of what is left of Lease + Keep.
//   - Fetch/Abandoned: Fetch of an abandoned key, by a lapsed lease or by
//     Abandon, has the claim's fields, no outcome, no LeaseLeft, and 0 <
//     Remaining <= Keep.
//   - Fetch/Completed: Fetch of a completed key has the claim's fields and the
//     outcome, no LeaseLeft, and Remaining of what is left of Retention.
//   - Fetch/Released: Fetch of a released key is Vacant with the claim's
//     attempt and fence, no LeaseLeft, and Remaining of what is left of Keep.
//   - Fetch/ChangesNothing: Fetch changes nothing: however often a key is
//     looked at, its lease ends and its record is forgotten when they would
//     have.
//   - Fetch/IsNeverStale: Fetch, and every other verb, sees what was
//     acknowledged before it was called, through whatever connection: no answer
//     comes from a cache that may be behind.
//   - Forget/MakesTheKeyUnknown: Forget makes a key unknown for every process,
//     whatever state it is in; it is taken by Seen 0 then, as attempt 1.
//   - Forget/UnknownIsNoError: Forgetting an unknown key is no error, and
//     leaves it unknown.
//   - Forget/OnlyThatKey: Forget removes one key, byte for byte, and no other,
//     though it look like a pattern.
//   - Forget/WakesWaiters: Forget wakes those who wait for the key, in every
//     process, with a record that says so, long before the lease would have
//     ended.
//   - Forget/TheHolderGoesOn: A holder whose claim was forgotten re-creates it
//     by a renewal, or completes it with LeaseHeld; one whose key another has
//     taken since does neither.
//   - Lifetime/RetentionEnds: A completed record is forgotten when Retention is
//     over, and not before, and Keep and Lease of the claim don't matter; then
//     the key is taken by Seen 0 and runs again as attempt 1.
//   - Lifetime/RetentionIsNotTheLease: Lease, Keep and Retention are three
//     durations: a short lease under a long Keep leaves an abandoned record for
//     long, a long Retention after a short lease a completed one.
//   - Lifetime/LateSendsDontMoveTheEnd: Late renewals, repeated claims and
//     refused commits neither shorten nor extend how long a record is kept, in
//     any state.
//   - Lifetime/LeaseMoreThanKeep: A lease that is much longer than Keep, and a
//     Keep that is much longer than the lease, both last as long as they say.
//   - Keys/AreDistinct: Keys are compared byte by byte: what differs by a
//     letter's case, a space, a NUL, a normal form, a colon or a brace is
//     another key, with a record of its own that all verbs find.
//   - Keys/AnyByte: A key may be any single byte.
//   - Keys/Bounds: The empty key and keys of more than MaxKey bytes are
//     ErrInvalid to every verb and store nothing.
//   - Bounds/Durations: A Lease, Keep or Retention that is zero, negative,
//     below MinDuration or above MaxDuration is ErrInvalid, and the record is
//     as it was: not shortened, not deleted.
//   - Bounds/LongestDurations: A Lease, Keep and Retention of MaxDuration are
//     taken, and reported as what they are.
//   - Bounds/ShortestDurations: A Lease, Keep and Retention of MinDuration are
//     taken; they end soon, and what they leave is what longer ones leave.
//   - Bounds/FractionsRoundUp: Fractions of a millisecond in a Lease, Keep or
//     Retention round up or are kept, never down.
//   - Bounds/IgnoredDurations: Retention is ignored by Release and Abandon, and
//     Keep by Complete, whatever they are.
//   - Bounds/FingerprintAndMetadata: A fingerprint of MaxFingerprint and
//     metadata of MaxMetadata bytes, of any value, are kept byte for byte
//     through every ending; longer ones are ErrInvalid.
//   - Bounds/Tokens: A claim or commit with the zero Token is ErrInvalid; every
//     other token is one, compared whole.
//   - Bounds/Fences: A Fence or Seen of MaxFence or more is ErrInvalid, and so
//     is a renewal with Fence 0 or Attempt 0.
//   - Bounds/Endings: An Ending that is none of the three is ErrInvalid, and so
//     is an outcome with Release or Abandon.
//   - Slices/RequestsMayBeReused: The caller may reuse the slices of a request
//     once the call has returned: the store keeps what was sent.
//   - Slices/RecordsBelongToTheCaller: The slices of a record belong to whoever
//     called the verb: writing on them, or appending to them, changes neither
//     the store nor another caller's record.
//   - Slices/RequestsAreNotWrittenOn: A verb doesn't write on the slices of its
//     request, nor on the memory behind their ends.
//   - Errors/EndedCtx: A verb that is called with a ctx that has ended returns
//     an error that is ctx.Err(), not a record, and has no effect.
//   - Errors/CtxWithoutEnd: Every verb works on a ctx that can't end.
//   - Errors/SupersededIsNoOther: ErrSuperseded is certain: such an error is
//     none of the package's others and no ctx's error.
//   - Errors/CtxEndsOnTheWay: A verb whose ctx ends while it is under way
//     returns soon after, and its error is ctx.Err() unless it had its answer.
//   - Concurrency/OneClaimWins: Of 100 claims of an unknown key at once,
//     through several connections, exactly one gets it, and all others are told
//     its record.
//   - Concurrency/OneTakeoverWins: Of 50 takeovers at once that saw the same
//     fence, of a lapsed, abandoned or released claim, exactly one gets the
//     key.
//   - Concurrency/OneTakeoverWinsAtTheLeasesEnd: Of many takeovers that are
//     tried all the time while a lease ends, exactly one gets the key.
//   - Concurrency/RepeatedSendsAreOne: The same claim sent 50 times at once is
//     one claim: every reply says Claimed with attempt 1 and the same fence.
//   - Concurrency/OneOutcomeWins: Of 50 different outcomes that the holder's
//     token commits at once exactly one is told success, and it is the
//     record's; the commits of other tokens are all superseded.
//   - Concurrency/CompleteOrRelease: Of a Complete and a Release by the holder
//     at once exactly one is told success, and the record says which.
//   - Concurrency/CommitOrTakeover: Of a commit by a holder that abandoned and
//     a takeover at once exactly one has its way, and the record says which.
//   - Concurrency/RevivalOrTakeover: Of a renewal by a holder whose lease
//     lapsed and a takeover at once exactly one gets the key, and the record
//     says which.
//   - Concurrency/ClaimAndItsRelease: A claim and its own release at once leave
//     the key vacant by that token, whichever arrives first.
//   - Concurrency/ManyKeys: Many keys that go through claim, renewal, commit
//     and replay at once don't get in each other's way.
//   - Close/WakesWaiters: Close wakes everybody who waits through that backend
//     with ErrClosed.
//   - Close/VerbsAreRefused: Every verb of a closed backend returns ErrClosed,
//     and has no effect.
//   - Close/MayBeRepeated: Close may be called again, and by many at once,
//     without a panic; each call returns.
//   - Close/WhileInUse: Close may be called while verbs are under way: each
//     returns, and a Wait that begins at that moment doesn't hang.
//   - Corrupt/RefusedByEveryVerb: What the store holds and the backend can't
//     read is ErrCorrupt to every verb: never a record, never waited for, and
//     never deleted or overwritten but by Forget.
//   - Corrupt/ForgetRemovesIt: Forget removes a record however broken it is,
//     and the key is unknown then.
//   - Disconnect/WaitersLookAgain: When the connection that carries the
//     wake-ups was lost, everybody who waits looks again: a commit made
//     meanwhile is seen soon, long before the lease ends or ten seconds are
//     over, and a later one wakes as ever.
//   - Disconnect/VerbsGoOn: After its connections were cut a backend works
//     again by itself: verbs may fail for a while, with errors, and never say
//     that a key is unknown which isn't.
//   - Silence/VerbsReturnWithinTheirCtx: On a store that answers nothing every
//     verb returns soon after its ctx ends, by deadline and by cancel, with an
//     error that is ctx.Err() and no record; when the store is back the backend
//     works again.
//   - Silence/NotAppliedIsCertain: A claim or commit that a silent store gave
//     no answer to isn't ErrNotApplied if the store applies it when it is back:
//     nobody knows what became of what was sent.
package conformance
