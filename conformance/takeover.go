package conformance

import "github.com/reprise-go/reprise/backend"

// abandonments are the two ways in which a key comes to be abandoned.
var abandonments = []struct {
	name    string
	abandon func(r *rig, key string, token backend.Token, seen uint64) backend.Record
}{
	{"a lapsed lease", func(r *rig, key string, token backend.Token, seen uint64) backend.Record {
		request := takingSeen(token, seen)
		request.Lease = r.lease
		r.take(r.a, key, request)
		return r.lapse(r.a, key, r.lease)
	}},
	{"an abandoned claim", func(r *rig, key string, token backend.Token, seen uint64) backend.Record {
		record := r.take(r.a, key, takingSeen(token, seen))
		r.commit(r.a, key, ending(token, backend.Abandon))
		return in(record, backend.Abandoned)
	}},
}

var takeOverRules = []Rule{
	{
		Name:  "TakeOver/ByTheFenceSeen",
		Prose: "An abandoned key, by a lapsed lease or by Abandon, is taken by a claim whose Seen is its fence: attempt+1 and fence+1, with the request's token, fingerprint and metadata.",
		Mend:  "the taking of an abandoned record: compare Seen with the fence, then write all of the new holder's.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				record := way.abandon(r, key, r.token(), 0)
				request := foreign(takingSeen(r.token(), record.Fence))
				want := held(request, record.Attempt+1, record.Fence+1)
				r.is("the taker's reply after "+way.name, r.claim(r.b, key, request), want)
				r.stands("the record after "+way.name, key, want)
			}
		},
	},
	{
		Name:  "TakeOver/NeedsSeen",
		Prose: "A claim with Seen 0 takes no abandoned key: it returns the record, Abandoned and unchanged, for the caller to decide on.",
		Mend:  "an abandoned record is no unknown key; whoever takes it must have looked at it.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				record := way.abandon(r, key, r.token(), 0)
				r.unchanged("a claim with Seen 0", key, func() {
					r.is("the reply after "+way.name, r.claim(r.b, key, foreign(taking(r.token()))), in(record, backend.Abandoned))
				})
			}
		},
	},
	{
		Name:  "TakeOver/OnlyTheAttemptSeen",
		Prose: "A takeover takes the attempt whose fence it has seen and no other, neither an earlier nor a later one.",
		Mend:  "compare Seen for equality with the stored fence, in the same step as the write.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				first := way.abandon(r, key, r.token(), 0)
				second := way.abandon(r, key, r.token(), first.Fence)
				for _, seen := range []uint64{first.Fence, second.Fence + 1, second.Fence + 100} {
					r.unchanged("a takeover of another attempt", key, func() {
						r.is("the reply after "+way.name, r.claim(r.b, key, foreign(takingSeen(r.token(), seen))), in(second, backend.Abandoned))
					})
				}
			}
		},
	},
	{
		Name:  "TakeOver/SeenIsAFenceNotAHolder",
		Prose: "A takeover of a token's earlier claim doesn't take that token's later one: Seen is compared with the fence, not with who held it.",
		Mend:  "compare the fence that was seen; the token isn't enough (A, B, A).",
		run: func(r *rig) {
			key, token := r.key(), r.token()
			record := backend.Record{Token: token, Fence: 10, Attempt: 1}
			r.take(r.a, key, renewal(record, long))
			r.commit(r.a, key, ending(token, backend.Abandon))
			r.is("the first claim", r.fetch(r.b, key), backend.Record{State: backend.Abandoned, Token: token, Attempt: 1, Fence: 10})
			// The store forgets the claim and its holder, whose renewal re-creates
			// it, gets it under a later fence.
			r.commit(r.a, key, backend.CommitRequest{Token: token, Ending: backend.Abandon, Keep: r.lease})
			r.forgotten(r.b, key, r.lease)
			record.Fence, record.Attempt = 20, 2
			r.take(r.a, key, renewal(record, long))
			r.commit(r.a, key, ending(token, backend.Abandon))
			r.unchanged("a takeover of the first claim", key, func() {
				r.claim(r.b, key, foreign(takingSeen(r.token(), 10)))
			})
			r.take(r.b, key, takingSeen(r.token(), 20))
		},
	},
	{
		Name:  "TakeOver/NeverALiveLease",
		Prose: "A takeover never takes a key whose lease is running, though its Seen be the right fence.",
		Mend:  "the taking must look at the lease by the store's clock, in the same step as the write.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.unchanged("a takeover of a live lease", key, func() {
				r.is("the reply", r.claim(r.b, key, foreign(takingSeen(r.token(), record.Fence))), record)
			})
		},
	},
	{
		Name:  "TakeOver/NeverARevivedLease",
		Prose: "A takeover that was decided on a lapsed lease doesn't take the key when its holder has revived the lease since.",
		Mend:  "the taking must look at the lease itself and not trust that it was seen lapsed.",
		run: func(r *rig) {
			for _, renew := range []bool{false, true} {
				key, request := r.key(), taking(r.token())
				request.Lease = r.lease
				record := r.take(r.a, key, request)
				r.lapse(r.b, key, r.lease)
				request.Lease = long
				if renew {
					request = renewal(record, long)
				}
				r.take(r.a, key, request)
				r.unchanged("a takeover of a revived lease", key, func() {
					r.is("the reply", r.claim(r.b, key, foreign(takingSeen(r.token(), record.Fence))), record)
				})
			}
		},
	},
	{
		Name:  "TakeOver/RepeatedSendIsStillYours",
		Prose: "A takeover that is sent again, because its reply was lost, gets the same claim again: no second attempt, no new fence.",
		Mend:  "compare the token before Seen: the fence has moved on by the first send.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				record := way.abandon(r, key, r.token(), 0)
				request := takingSeen(r.token(), record.Fence)
				want := r.take(r.b, key, request)
				r.is("the reply to the repeated takeover after "+way.name, r.claim(r.b, key, request), want)
				r.is("the reply to the repeated takeover after "+way.name, r.claim(r.a, key, request), want)
				r.stands("the record", key, want)
			}
		},
	},
	{
		Name:  "TakeOver/LateDuplicateTakesNothing",
		Prose: "A duplicate of a takeover that arrives when its sender has ended takes nothing, neither from the sender's remains nor from a later holder's.",
		Mend:  "the sender's token is dead where it ended the record; elsewhere the fence isn't the one seen any more.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Release, backend.Abandon} {
				key := r.key()
				first := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(first.Token, backend.Abandon))
				duplicate := takingSeen(r.token(), first.Fence)
				second := r.take(r.b, key, duplicate)
				r.commit(r.b, key, ending(second.Token, end))
				r.unchanged("the duplicate", key, func() { r.claim(r.a, key, duplicate) })
				third := r.take(r.a, key, takingSeen(r.token(), second.Fence))
				r.unchanged("the duplicate", key, func() { r.claim(r.b, key, duplicate) })
				r.commit(r.a, key, ending(third.Token, end))
				r.unchanged("the duplicate", key, func() { r.claim(r.b, key, duplicate) })
				r.superseded(r.b, key, ending(second.Token, backend.Complete))
			}
		},
	},
	{
		Name:  "TakeOver/FencesTheOldHolder",
		Prose: "Whoever was overtaken has no effect any more: its claim, renewal, Complete, Release and Abandon leave the new holder's record as it is, while the new holder runs and after every ending of it.",
		Mend:  "every verb must compare the token in the same step as it writes.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{0, backend.Complete, backend.Release, backend.Abandon} {
				key := r.key()
				old := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(old.Token, backend.Abandon))
				next := r.take(r.b, key, takingSeen(r.token(), old.Fence))
				if end != 0 {
					r.commit(r.b, key, ending(next.Token, end))
				}
				r.unchanged("an overtaken holder", key, func() {
					r.claim(r.a, key, foreign(taking(old.Token)))
					r.claim(r.a, key, foreign(renewal(old, long)))
					for _, e := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
						r.superseded(r.a, key, stray(ending(old.Token, e)))
					}
				})
			}
		},
	},
	{
		Name:  "TakeOver/LapsedIsAbandonedInEveryReply",
		Prose: "A claimed record whose lease is over is Abandoned in every reply: to Fetch, Wait, a claim that doesn't take it and another's renewal.",
		Mend:  "work out the state from the lease wherever a record is read.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			r.lapse(r.a, key, r.lease)
			want := in(record, backend.Abandoned)
			other := record
			other.Token = r.token()
			for _, s := range []backend.Backend{r.a, r.b} {
				r.is("Fetch", r.fetch(s, key), want)
				r.is("Wait", r.wait(s, key, record.Token), want)
				r.is("a claim with Seen 0", r.claim(s, key, taking(r.token())), want)
				r.is("another token's renewal", r.claim(s, key, renewal(other, long)), want)
			}
		},
	},
	{
		Name:  "TakeOver/NotBeforeTheLeaseEnds",
		Prose: "A lease doesn't end before its time: no reply says Abandoned, and no takeover succeeds, earlier than Lease after the claim was sent.",
		Mend:  "round leases up; measure them by the store's clock only.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = 2 * r.lease
			start := r.now()
			record := r.take(r.a, key, request)
			r.notBefore("the key was taken over", start, request.Lease, func() bool {
				token := r.token()
				got := r.claim(r.b, key, takingSeen(token, record.Fence))
				return got.Token == token
			})
		},
	},
}
