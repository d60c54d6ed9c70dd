// Package backend is the contract between the executor (package idempotency)
// and the stores that keep its records. Read it to write a store of your own;
// to use one, see the packages below backends.
//
// A backend knows nothing of actions, codecs or policies. It keeps one [Record]
// per key and changes it by four verbs, each of which is atomic on its key and
// may be repeated: Claim, Commit, Wait and Fetch. Package conformance checks an
// implementation against every sentence below.
//
// # States
//
// A key is [Vacant] (unknown to the store, its retention over, or released),
// [Claimed] (one attempt holds it under a lease), [Abandoned] (the lease ended
// without a commit, or the holder said that nobody knows what it did) or
// [Completed] (it has its outcome, final and immutable until its retention
// ends). Claimed turns into Abandoned by the passing of time alone: a backend
// MUST report a claimed record whose lease is over as Abandoned, in every reply.
// The store forgets an abandoned or released record after the Keep of the
// request that made it so (for a lapsed lease: Keep after the lease's end), and
// a completed one after its Retention. A forgotten key is unknown.
//
// # Claim
//
// Claim MUST be one compare-and-swap. It returns the record as it stands
// afterwards; the caller owns the key if and only if that record is Claimed by
// the request's token. Losing is a result, never an error.
//
//	the record is                            taking (Renewal false)           Renewal
//	---------------------------------------  -------------------------------  -------------------------------
//	unknown                                  Seen is 0: taken, attempt 1      re-created: claimed, with the
//	                                         Seen is not 0: unchanged         request's attempt and fence
//	vacant or abandoned, another's token,    taken: attempt + 1               unchanged
//	  its fence is Seen
//	vacant or abandoned, another's token,    unchanged                        unchanged
//	  its fence is not Seen
//	vacant, the request's token              unchanged (the token is dead)    unchanged
//	claimed by the request's token, its      its lease becomes Lease,         its lease becomes Lease,
//	  lease running or lapsed                all else kept                    all else kept
//	ended by Abandon by the request's token  unchanged                        unchanged
//	claimed by another, its lease running    unchanged                        unchanged
//	completed, whoever by                    unchanged                        unchanged
//
// "Taken" means: state Claimed, holder the request's token, attempt one more
// than the record's (1 where the key was unknown), fence the greater of the
// record's fence + 1 and the request's Fence (and at least 1), fingerprint,
// metadata and Keep of the request, and a lease that ends Lease after the store
// applied the request. (A store whose change becomes visible only after it has
// read its clock, by a commit that waits for a disk for example, counts from that
// reading. A lease MUST NOT end earlier than Lease after the request was sent.)
// A store MUST be able to tell a lease that lapsed from one that was ended by
// Abandon: the holder may revive the first, never the second.
//
// # Commit
//
// Commit MUST be one compare-and-swap on the token.
//
//	the record is                  Complete                    Release                     Abandon
//	-----------------------------  --------------------------  --------------------------  --------------------------
//	claimed by the token, its      completed                   vacant, attempt and         abandoned at once,
//	  lease running or lapsed                                  fence kept                  all else kept
//	ended by Abandon by the token  completed                   vacant, attempt and         success; abandoned, kept
//	                                                           fence kept                  for the new Keep
//	completed by the token         same outcome: success;      ErrSuperseded               ErrSuperseded
//	                               another: ErrSuperseded
//	released by the token          ErrSuperseded               success                     ErrSuperseded
//	another token's                ErrSuperseded               ErrSuperseded               ErrSuperseded
//	unknown, LeaseHeld             completed                   vacant, by this token       abandoned, by this token
//	unknown, not LeaseHeld         ErrSuperseded               vacant, by this token       success, nothing stored
//
// A commit that is applied to a known record MUST keep the claim's token,
// attempt, fence, fingerprint and metadata; the request's Fingerprint, Metadata,
// Attempt and Fence are used only where the key is unknown. A fence that is
// stored is never below 1 (it must be possible to name it by Seen). A commit
// that isn't applied MUST change nothing, not even how long a record is kept. A
// Complete that is repeated changes nothing either; whether a repeated Release
// keeps its record for the new Keep is the store's choice. A taking of a record
// whose fence is MaxFence-1 has no fence to give: it is an [ErrPermanent], and
// changes nothing.
//
// A commit wakes everybody who waits for the key, in every process: without
// waiting for it, and without failing when that fails, for a wake-up is a hint.
//
// # Wait
//
// Wait MUST return as soon as, at some moment during the call, the key was not
// held by token under a live lease, with a record that was true during the
// call. It returns at once for the zero token, for an unknown key, and where
// another token holds the key. It MUST register for wake-ups before it looks at
// the record, for a commit may come in between. A wake-up may never arrive: the
// sleep MUST be bounded by the end of the lease that was seen, and by 10 seconds
// ([MaxSleep]). When the connection that carries the wake-ups was lost,
// everybody who waits MUST look again.
//
// # Fetch
//
// Fetch MUST change nothing, not the lease and not how long a record is kept.
// An unknown key is the zero Record with a nil error; a released one is Vacant
// with the attempt and the fence that it had.
//
// # Errors
//
// [ErrNotApplied] (certainly without effect), [ErrPermanent] (repeating is
// useless), [ErrInvalid], [ErrTooLarge], [ErrCorrupt], [ErrClosed] and
// [ErrSuperseded] are told by errors.Is; every other error of a Claim or a
// Commit means that nobody knows whether it was applied. They MUST wrap the
// error of the client below. When the ctx has ended, errors.Is(err, ctx.Err())
// MUST hold, and a verb that is called with such a ctx MUST have no effect. A
// failure MUST never be reported as a record: neither "not acquired" nor "unknown
// key" may stand for "the store did not answer". A lack that may pass (a full
// disk, memory, an exhausted pool, a lock that was not had in time) is
// ErrNotApplied. ErrClosed says nothing of a request that was under way when
// Close came.
//
// # Clocks
//
// Only the store's clock counts for leases and retentions. A client's clock is
// used once, for [ClaimRequest.Fence], which matters only when the store has
// forgotten the key. A store without a clock may treat a lease as lapsed when it
// has itself seen the same fence unrenewed for the lease's length. Durations are
// rounded up to whole milliseconds or finer, never down; where the clock itself
// is rounded down, a lease is over only when the clock shows more than its end. A
// record and the clock that it is judged by MUST belong together: a row that is
// read without a lock, and judged by a later reading of the clock, looks
// abandoned where it was renewed in between.
//
// # Concurrency
//
// Every verb MUST be safe for concurrent use and return within its ctx, also
// when the server is silent; what goes on of it after that MUST NOT use the
// request's slices, which are the caller's again. The interfaces of this package never grow: what
// more a store can do comes as optional interfaces with one method, like
// [Forgetter]. A backend that has something to close implements io.Closer;
// Close MUST wake everybody who waits with ErrClosed, and every verb that is
// called afterwards MUST return it.
package backend
