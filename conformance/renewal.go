package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var renewalRules = []Rule{
	{
		Name:  "Renewal/SetsTheLease",
		Prose: "A renewal by the holder makes the lease Lease, longer or shorter than what is left, and keeps all else, whatever the request carries.",
		Mend:  "what a renewal writes: the lease and nothing else.",
		run: func(r *rig) {
			key := r.key()
			want := r.take(r.a, key, taking(r.token()))
			for _, lease := range []time.Duration{10 * time.Minute, long, 2 * time.Hour} {
				request := foreign(renewal(want, lease))
				request.Lease, request.Seen = lease, 12345
				request.Fence, request.Attempt = want.Fence+5, want.Attempt+5
				start := time.Now()
				r.is("the reply", r.claim(r.a, key, request), want)
				record := r.fetch(r.b, key)
				r.is("the record", record, want)
				r.about("LeaseLeft", record.LeaseLeft, lease, start)
			}
		},
	},
	{
		Name:  "Renewal/HoldsTheKey",
		Prose: "A holder that renews in time is never reported as abandoned, however long it goes on.",
		Mend:  "a renewal must move the end of the lease, and with it the end of the record.",
		run: func(r *rig) {
			key, other := r.key(), r.key()
			request := taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			// Three leases of another key one after the other are the clock.
			for range 3 {
				r.take(r.a, key, renewal(record, r.longest()))
				clock := taking(r.token())
				clock.Lease = r.lease
				clock.Seen = r.fetch(r.b, other).Fence
				r.take(r.b, other, clock)
				r.lapse(r.b, other, r.lease)
				r.stands("the renewed record", key, record)
			}
		},
	},
	{
		Name:  "Renewal/ExtendsTheWholeLife",
		Prose: "A renewal moves the end of the record with the lease: it is kept for the stored Keep after the new end of the lease.",
		Mend:  "how long the record is kept after a renewal: Lease of the renewal plus Keep of the taking.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			request := renewal(record, 10*keep)
			request.Keep = 50 * keep
			start := time.Now()
			r.take(r.a, key, request)
			r.about("Remaining", r.fetch(r.b, key).Remaining, 11*keep, start)
		},
	},
	{
		Name:  "Renewal/RevivesALapsedClaim",
		Prose: "A renewal by the holder whose lease lapsed, and whom nobody overtook, makes the key Claimed again.",
		Mend:  "tell a lapsed lease from one that was ended by Abandon; the first may be revived by its own token.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			want := r.take(r.a, key, request)
			r.lapse(r.b, key, r.lease)
			r.is("the reply", r.claim(r.a, key, renewal(want, long)), want)
			r.stands("the record", key, want)
		},
	},
	{
		Name:  "Renewal/RecreatesAForgottenClaim",
		Prose: "A renewal of an unknown key re-creates the claim with the request's attempt, fence, fingerprint, metadata and Keep, whatever Seen is.",
		Mend:  "the unknown row of the renewal: the store forgot, and the holder tells it what it held.",
		run: func(r *rig) {
			for _, seen := range []uint64{0, 5} {
				key := r.key()
				want := backend.Record{State: backend.Claimed, Token: r.token(), Attempt: 3, Fence: 1_767_225_600_000_000,
					Fingerprint: []byte("print"), Metadata: []byte("meta")}
				request := renewal(want, long)
				request.Seen, request.Keep = seen, 5*keep
				start := time.Now()
				r.is("the reply", r.claim(r.a, key, request), want)
				r.stands("the record", key, want)
				record := r.fetch(r.b, key)
				r.about("LeaseLeft", record.LeaseLeft, long, start)
				r.about("Remaining", record.Remaining, long+5*keep, start)
				r.commit(r.a, key, ending(want.Token, backend.Release))
				next := r.take(r.b, key, takingSeen(r.token(), want.Fence))
				if next.Attempt != 4 || next.Fence != want.Fence+1 {
					r.failf("the next holder got %s", show(next))
				}
			}
		},
	},
	{
		Name:  "Renewal/NeverTakesAVacantKey",
		Prose: "A renewal by a holder that was overtaken never takes a key that was released since, though its fence be the right one.",
		Mend:  "a renewal is no claim: on a vacant record it changes nothing.",
		run: func(r *rig) {
			key := r.key()
			old := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(old.Token, backend.Abandon))
			next := r.take(r.b, key, takingSeen(r.token(), old.Fence))
			r.commit(r.b, key, ending(next.Token, backend.Release))
			r.renewalChangesNothing(key, old, in(next, backend.Vacant))
		},
	},
	{
		Name:  "Renewal/NeverTakesAnAbandonedKey",
		Prose: "A renewal by a holder that was overtaken never takes a key that was abandoned since, though its fence be the right one.",
		Mend:  "a renewal is no claim: on another token's abandoned record it changes nothing.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				old := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(old.Token, backend.Abandon))
				next := way.abandon(r, key, r.token(), old.Fence)
				r.renewalChangesNothing(key, old, in(next, backend.Abandoned))
			}
		},
	},
	{
		Name:  "Renewal/NeverTakesALiveKey",
		Prose: "A renewal by a token that another has overtaken returns the new holder's record with LeaseLeft and changes nothing.",
		Mend:  "compare the token before extending the lease: the lease is another's.",
		run: func(r *rig) {
			key := r.key()
			old := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(old.Token, backend.Abandon))
			next := r.take(r.b, key, takingSeen(r.token(), old.Fence))
			r.renewalChangesNothing(key, old, next)
			if got := r.claim(r.a, key, renewal(old, long)); got.LeaseLeft <= 0 || got.LeaseLeft > long {
				r.failf("the renewal that lost is told LeaseLeft %v of a lease of %v", got.LeaseLeft, time.Duration(long))
			}
		},
	},
	{
		Name:  "Renewal/NeverReopensACompletedKey",
		Prose: "A renewal of a completed key returns the record with its outcome and changes nothing, by the token that completed it too.",
		Mend:  "completed is final: check it before the token.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			other := record
			other.Token = r.token()
			r.renewalChangesNothing(key, record, completed(record, "answer"))
			r.renewalChangesNothing(key, other, completed(record, "answer"))
		},
	},
	{
		Name:  "Renewal/NeverRevivesAReleasedClaim",
		Prose: "A renewal by the token that released the key changes nothing.",
		Mend:  "a released token is dead, for renewals too.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(record.Token, backend.Release))
			r.renewalChangesNothing(key, record, in(record, backend.Vacant))
		},
	},
	{
		Name:  "Renewal/NeverRevivesAnAbandonedClaim",
		Prose: "A renewal by the token that ended its claim by Abandon changes nothing.",
		Mend:  "the store must be able to tell a lease that lapsed from one that was ended by Abandon.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(record.Token, backend.Abandon))
			r.renewalChangesNothing(key, record, in(record, backend.Abandoned))
		},
	},
}

// renewalChangesNothing expects renewals of what old held to be answered with
// want and to leave it alone, whatever fence they name.
func (r *rig) renewalChangesNothing(key string, old, want backend.Record) {
	r.Helper()
	for _, fence := range []uint64{old.Fence, want.Fence, want.Fence + 1} {
		request := foreign(renewal(old, long))
		request.Fence, request.Seen = fence, want.Fence
		r.unchanged("the renewal", key, func() {
			r.is("the renewal's reply", r.claim(r.a, key, request), want)
			r.is("the renewal's reply", r.claim(r.b, key, request), want)
		})
	}
}
