package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var claimRules = []Rule{
	{
		Name:  "Claim/Fresh",
		Prose: "An unknown key is taken by a claim with Seen 0: Claimed by its token, attempt 1, with its fingerprint and metadata, in the reply and for every process.",
		Mend:  "the write of a taking, and what its reply is made of.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			want := held(request, 1, 1)
			r.is("the reply", r.claim(r.a, key, request), want)
			r.stands("the record", key, want)
		},
	},
	{
		Name:  "Claim/FenceIsAtLeastOne",
		Prose: "The first holder of a key gets the fence 1 where its request names none, so that Seen can name it.",
		Mend:  "the fence of a taking: max(stored + 1, request.Fence), with 0 stored for an unknown key.",
		run: func(r *rig) {
			key := r.key()
			if record := r.take(r.a, key, taking(r.token())); record.Fence != 1 {
				r.failf("a claim with Fence 0 got %s", show(record))
			}
		},
	},
	{
		Name:  "Claim/FenceIsAtLeastTheRequests",
		Prose: "A taking gets the greater of the stored fence+1 and the request's Fence.",
		Mend:  "the fence of a taking, and the width of the number that it is kept in: fences go up to 1<<53.",
		run: func(r *rig) {
			key, fence := r.key(), uint64(1_767_225_600_000_000)
			steps := []struct{ request, want uint64 }{
				{fence, fence}, {0, fence + 1}, {fence, fence + 2}, {fence + 3, fence + 3}, {fence + 1_000_000, fence + 1_000_000},
				{backend.MaxFence - 3, backend.MaxFence - 3}, {0, backend.MaxFence - 2}, {7, backend.MaxFence - 1},
			}
			seen := uint64(0)
			for _, step := range steps {
				request := takingSeen(r.token(), seen)
				request.Fence = step.request
				record := r.take(r.a, key, request)
				if record.Fence != step.want {
					r.failf("with %d stored and Fence %d the fence became %d, want %d", seen, step.request, record.Fence, step.want)
				}
				if stored := r.fetch(r.b, key); stored.Fence != step.want {
					r.failf("the reply says fence %d, another process reads %d", step.want, stored.Fence)
				}
				seen = record.Fence
				r.commit(r.a, key, ending(request.Token, backend.Release))
			}
		},
	},
	{
		Name:  "Claim/LosingIsAResult",
		Prose: "A claim of a key that another token holds returns the holder's record and no error, with 0 < LeaseLeft <= the holder's lease.",
		Mend:  "the reply of a claim that lost; it must carry how long the holder's lease still runs.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			want := r.take(r.a, key, request)
			got := r.claim(r.b, key, taking(r.token()))
			r.is("the loser's reply", got, want)
			if got.LeaseLeft <= 0 || got.LeaseLeft > long {
				r.failf("the loser is told LeaseLeft %v, the lease is %v", got.LeaseLeft, time.Duration(long))
			}
		},
	},
	{
		Name:  "Claim/LosingChangesNothing",
		Prose: "A claim that loses changes nothing of the holder's record: not a field, not its lease, not how long it is kept.",
		Mend:  "a claim must decide and write in one step; look for a write before the decision.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			for _, seen := range []uint64{0, record.Fence, record.Fence + 1} {
				r.unchanged("a lost claim", key, func() { r.claim(r.b, key, foreign(takingSeen(r.token(), seen))) })
			}
		},
	},
	{
		Name:  "Claim/RepeatedSendKeepsTheClaim",
		Prose: "A claim sent again by the token that holds the key gets the key again: the same attempt, fence, fingerprint and metadata, and its lease becomes Lease.",
		Mend:  "compare the token before anything else: the reply of the first send may have been lost.",
		run: func(r *rig) {
			key, token := r.key(), r.token()
			want := r.take(r.a, key, taking(token))
			for _, s := range []backend.Backend{r.a, r.b} {
				for _, seen := range []uint64{0, want.Fence, want.Fence + 9} {
					again := foreign(takingSeen(token, seen))
					again.Fence = want.Fence + 1000
					start := time.Now()
					r.is("the reply to a repeated send", r.claim(s, key, again), want)
					record := r.fetch(r.b, key)
					r.is("the record after a repeated send", record, want)
					r.about("LeaseLeft after a repeated send", record.LeaseLeft, again.Lease, start)
				}
			}
		},
	},
	{
		Name:  "Claim/RepeatedSendSetsTheLease",
		Prose: "A repeated send makes the lease Lease, where that is shorter too.",
		Mend:  "the lease is set by a repeated send, not the greater of two.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			want := r.take(r.a, key, request)
			request.Lease = r.lease
			r.claim(r.a, key, request)
			r.is("after the shorter lease", r.lapse(r.b, key, r.lease), in(want, backend.Abandoned))
		},
	},
	{
		Name:  "Claim/RepeatedSendRevivesALapsedClaim",
		Prose: "A repeated send by the holder whose lease lapsed, and whom nobody overtook, makes the key Claimed again.",
		Mend:  "tell a lapsed lease from one that was ended by Abandon; the first may be revived by its own token.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			want := r.take(r.a, key, request)
			r.lapse(r.b, key, r.lease)
			request.Lease = long
			r.is("the reply", r.claim(r.a, key, request), want)
			r.stands("the record", key, want)
		},
	},
	{
		Name:  "Claim/RepeatedSendKeepsKeep",
		Prose: "Keep is stored when the key is taken and not changed by a repeated send.",
		Mend:  "what a repeated send writes: the lease and nothing else.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			start := time.Now()
			r.take(r.a, key, request)
			request.Keep = 9 * keep
			r.take(r.a, key, request)
			r.about("Remaining of a claim", r.fetch(r.b, key).Remaining, long+keep, start)
		},
	},
	{
		Name:  "Claim/CompletedAnswersEverybody",
		Prose: "A claim of a completed key returns the record with its outcome and changes nothing, whoever asks and whatever Seen is.",
		Mend:  "the order of the checks: completed comes before the comparison of tokens and fences.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			record := r.take(r.a, key, request)
			r.commit(r.a, key, completing(request.Token, []byte("answer")))
			want := completed(record, "answer")
			for _, token := range []backend.Token{request.Token, r.token()} {
				for _, seen := range []uint64{0, record.Fence, record.Fence + 1} {
					r.unchanged("a claim of a completed key", key, func() {
						r.is("the reply", r.claim(r.b, key, foreign(takingSeen(token, seen))), want)
						r.is("the reply", r.claim(r.a, key, foreign(takingSeen(token, seen))), want)
					})
				}
			}
		},
	},
	{
		Name:  "Claim/UnknownKeyNeedsSeenZero",
		Prose: "A claim with a Seen that isn't 0 doesn't take an unknown key: it means a record that isn't there any more.",
		Mend:  "the unknown row of the taking: compare Seen with 0.",
		run: func(r *rig) {
			key := r.key()
			if record := r.claim(r.a, key, takingSeen(r.token(), 5)); !record.Unknown() {
				r.failf("a claim with Seen 5 of an unknown key returned %s", show(record))
			}
			r.unknown("after a claim that was refused", key)
		},
	},
	{
		Name:  "Claim/VacantKeyNeedsItsFence",
		Prose: "A released key is taken by a claim whose Seen is its fence, at once and from every process, and by no other.",
		Mend:  "the taking of a vacant record: compare Seen with the stored fence, exactly.",
		run: func(r *rig) {
			key, first := r.key(), taking(r.token())
			record := r.take(r.a, key, first)
			r.commit(r.a, key, ending(first.Token, backend.Release))
			want := in(record, backend.Vacant)
			for _, seen := range []uint64{0, record.Fence - 1, record.Fence + 1, backend.MaxFence - 1} {
				r.unchanged("a claim with another Seen", key, func() {
					r.is("the reply", r.claim(r.b, key, foreign(takingSeen(r.token(), seen))), want)
				})
			}
			next := foreign(takingSeen(r.token(), record.Fence))
			next.Fence = 0
			r.is("the reply to the right Seen", r.claim(r.b, key, next), held(next, 2, record.Fence+1))
			r.stands("the record", key, held(next, 2, record.Fence+1))
		},
	},
	{
		Name:  "Claim/ReleasedTokenIsDead",
		Prose: "A token that released a key never gets it again, not by the right Seen either: a late claim must not come back.",
		Mend:  "the taking of a vacant record must refuse the record's own token.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			record := r.take(r.a, key, request)
			r.commit(r.a, key, ending(request.Token, backend.Release))
			for _, seen := range []uint64{0, record.Fence} {
				r.unchanged("a late claim by the released token", key, func() {
					r.is("the reply", r.claim(r.a, key, foreign(takingSeen(request.Token, seen))), in(record, backend.Vacant))
				})
			}
		},
	},
	{
		Name:  "Claim/TakingStoresTheRequests",
		Prose: "Who takes a key that had a holder stores its own fingerprint, metadata and Keep, empty ones too.",
		Mend:  "a taking must not leave anything of the last holder but attempt and fence.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			record := r.take(r.a, key, request)
			r.commit(r.a, key, ending(request.Token, backend.Release))
			next := backend.ClaimRequest{Token: r.token(), Lease: long, Keep: 5 * keep, Seen: record.Fence}
			start := time.Now()
			r.take(r.b, key, next)
			r.stands("the record", key, held(next, 2, record.Fence+1))
			r.about("Remaining", r.fetch(r.a, key).Remaining, long+5*keep, start)
		},
	},
	{
		Name:  "Claim/FingerprintIsNotCompared",
		Prose: "A claim with another fingerprint is answered like any other, with the stored fingerprint in the record: comparing it is the caller's.",
		Mend:  "take the comparison of fingerprints out of the backend.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			record := r.take(r.a, key, request)
			r.is("while the key is held", r.claim(r.b, key, foreign(taking(r.token()))), record)
			r.commit(r.a, key, completing(request.Token, []byte("answer")))
			r.is("once it is completed", r.claim(r.b, key, foreign(taking(r.token()))), completed(record, "answer"))
		},
	},
	{
		Name:  "Claim/AttemptAndFenceGrow",
		Prose: "From holder to holder the attempt grows by one and the fence strictly, through releases, abandons and lapsed leases alike.",
		Mend:  "attempt and fence must survive every ending but Complete and the end of the record.",
		run: func(r *rig) {
			key, record := r.key(), backend.Record{}
			for i, end := range []backend.Ending{backend.Release, backend.Abandon, 0, backend.Release, 0, backend.Abandon, backend.Complete} {
				request := takingSeen(r.token(), record.Fence)
				if end == 0 {
					request.Lease = r.lease
				}
				next := r.take(r.a, key, request)
				if next.Attempt != uint32(i+1) || next.Fence <= record.Fence {
					r.failf("holder number %d got attempt %d and fence %d after fence %d", i+1, next.Attempt, next.Fence, record.Fence)
				}
				record = next
				if end == 0 {
					r.lapse(r.b, key, r.lease)
				} else {
					r.commit(r.b, key, ending(request.Token, end))
				}
			}
			r.stands("in the end", key, completed(record, "outcome"))
		},
	},
}
