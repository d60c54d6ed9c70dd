package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var abandonRules = []Rule{
	{
		Name:  "Abandon/EndsTheLease",
		Prose: "Abandon by the holder makes the key Abandoned at once for everybody, all else kept, for Keep of the request; it can be taken over at once.",
		Mend:  "Abandon ends the lease now: no reply may say Claimed after it.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			request := ending(record.Token, backend.Abandon)
			request.Keep = 5 * keep
			start := time.Now()
			r.commit(r.a, key, request)
			r.stands("the record", key, in(record, backend.Abandoned))
			r.about("Remaining", r.fetch(r.b, key).Remaining, 5*keep, start)
			r.is("Wait", r.wait(r.b, key, record.Token), in(record, backend.Abandoned))
			r.take(r.b, key, takingSeen(r.token(), record.Fence))
		},
	},
	{
		Name:  "Abandon/NeverRevived",
		Prose: "A claim that its own token ended by Abandon is never revived by it, neither by a claim, whatever its Seen, nor by a renewal, with its lease running or lapsed when it ended.",
		Mend:  "the store must be able to tell a lease that lapsed from one that was ended by Abandon.",
		run: func(r *rig) {
			for _, lapsed := range []bool{false, true} {
				key, request := r.key(), taking(r.token())
				if lapsed {
					request.Lease = r.lease
				}
				record := r.take(r.a, key, request)
				if lapsed {
					r.lapse(r.a, key, r.lease)
				}
				r.commit(r.a, key, ending(record.Token, backend.Abandon))
				want := in(record, backend.Abandoned)
				r.unchanged("the abandoned token", key, func() {
					for _, seen := range []uint64{0, record.Fence, record.Fence + 1} {
						r.is("a claim's reply", r.claim(r.a, key, foreign(takingSeen(record.Token, seen))), want)
					}
					r.is("a renewal's reply", r.claim(r.b, key, foreign(renewal(record, long))), want)
				})
			}
		},
	},
	{
		Name:  "Abandon/RepeatedIsKeptForTheNewKeep",
		Prose: "Abandon sent again by the token that abandoned is a success; the record stays abandoned and is kept for the new Keep.",
		Mend:  "the reply of the first send may have been lost; the last Keep counts.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			for i, s := range []backend.Backend{r.a, r.b, r.a} {
				request := ending(record.Token, backend.Abandon)
				request.Keep = time.Duration(3-i) * 2 * keep
				start := time.Now()
				r.commit(s, key, request)
				r.stands("the record", key, in(record, backend.Abandoned))
				r.about("Remaining", r.fetch(r.b, key).Remaining, request.Keep, start)
			}
		},
	},
	{
		Name:  "Abandon/AfterTheLease",
		Prose: "Abandon by the holder whose lease lapsed, and whom nobody overtook, is applied: the record is kept for Keep of the request.",
		Mend:  "don't look at the lease in an Abandon; the token decides.",
		run: func(r *rig) {
			key, claim := r.key(), taking(r.token())
			claim.Lease = r.lease
			record := r.take(r.a, key, claim)
			r.lapse(r.b, key, r.lease)
			request := ending(record.Token, backend.Abandon)
			request.Keep = 5 * keep
			start := time.Now()
			r.commit(r.a, key, request)
			r.stands("the record", key, in(record, backend.Abandoned))
			r.about("Remaining", r.fetch(r.b, key).Remaining, 5*keep, start)
		},
	},
	{
		Name:  "Abandon/CompletedOrReleasedIsSuperseded",
		Prose: "Abandon by the token that completed or released the key is ErrSuperseded and changes nothing.",
		Mend:  "an ended claim stays ended; check the state beside the token.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Complete, backend.Release} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(record.Token, end))
				r.unchanged("Abandon after "+end.String(), key, func() {
					r.superseded(r.a, key, stray(ending(record.Token, backend.Abandon)))
				})
			}
		},
	},
	{
		Name:  "Abandon/NotTheHolder",
		Prose: "Abandon by a token that doesn't hold the key is ErrSuperseded and changes nothing, whatever state the key is in.",
		Mend:  "compare the token in the same step as the write.",
		run:   func(r *rig) { r.refusesStrangers(backend.Abandon) },
	},
	{
		Name:  "Abandon/ForgottenClaimIsKept",
		Prose: "Abandon of an unknown key with LeaseHeld leaves an abandoned record by this token with the request's attempt, fence, fingerprint and metadata; it can be taken over by its fence.",
		Mend:  "the unknown row of Abandon: the store forgot a claim that may have done something.",
		run: func(r *rig) {
			key := r.key()
			request := stray(ending(r.token(), backend.Abandon))
			start := time.Now()
			r.commit(r.a, key, request)
			r.stands("the record", key, backend.Record{
				State: backend.Abandoned, Token: request.Token, Attempt: 77, Fence: 77_000,
				Fingerprint: request.Fingerprint, Metadata: request.Metadata,
			})
			r.about("Remaining", r.fetch(r.b, key).Remaining, request.Keep, start)
			next := r.take(r.b, key, takingSeen(r.token(), 77_000))
			if next.Attempt != 78 || next.Fence != 77_001 {
				r.failf("who took it over got %s", show(next))
			}
		},
	},
	{
		Name:  "Abandon/UnknownWithoutLeaseStoresNothing",
		Prose: "Abandon of an unknown key without LeaseHeld is a success and stores nothing.",
		Mend:  "the unknown row of Abandon: look at LeaseHeld; a token that never held the key must not block it.",
		run: func(r *rig) {
			key := r.key()
			request := stray(ending(r.token(), backend.Abandon))
			request.LeaseHeld = false
			r.commit(r.a, key, request)
			r.unknown("after the Abandon", key)
		},
	},
	{
		Name:  "Abandon/KeepEnds",
		Prose: "An abandoned record is forgotten when Keep is over, and not before: Keep of the request after Abandon, Keep of the claim after the end of a lapsed lease.",
		Mend:  "a claimed record lives for Lease + Keep, one that was abandoned for Keep.",
		run: func(r *rig) {
			// The longer life is watched from where the shorter one has ended.
			abandoned, lapsing, start := r.key(), r.key(), r.now()
			token, lapse := r.token(), taking(r.token())
			r.take(r.a, abandoned, taking(token))
			request := ending(token, backend.Abandon)
			request.Keep = 2 * r.lease
			r.commit(r.a, abandoned, request)
			lapse.Lease, lapse.Keep = r.lease, 2*r.lease
			r.take(r.a, lapsing, lapse)

			r.notBefore("the abandoned record was forgotten", start, 2*r.lease, func() bool { return r.fetch(r.b, abandoned).Unknown() })
			next := taking(r.token())
			r.is("the next claim", r.take(r.b, abandoned, next), held(next, 1, 1))
			r.notBefore("the lapsed record was forgotten", start, 3*r.lease, func() bool { return r.fetch(r.b, lapsing).Unknown() })
		},
	},
}
