package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var releaseRules = []Rule{
	{
		Name:  "Release/KeepsAttemptAndFence",
		Prose: "Release by the holder makes the key Vacant for everybody, with the claim's token, attempt, fence, fingerprint and metadata, for Keep of the release.",
		Mend:  "a release is a write, not a deletion.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			request := ending(record.Token, backend.Release)
			request.Keep = 5 * keep
			start := time.Now()
			r.commit(r.a, key, request)
			r.stands("the record", key, in(record, backend.Vacant))
			r.about("Remaining", r.fetch(r.b, key).Remaining, 5*keep, start)
		},
	},
	{
		Name:  "Release/RepeatedIsSuccess",
		Prose: "Release sent again by the token that released is a success, and the key stays vacant by that token.",
		Mend:  "the reply of the first send may have been lost.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			for _, s := range []backend.Backend{r.a, r.a, r.b} {
				r.commit(s, key, ending(record.Token, backend.Release))
				r.stands("the record", key, in(record, backend.Vacant))
			}
		},
	},
	{
		Name:  "Release/AfterTheLease",
		Prose: "Release by the holder whose lease lapsed, and whom nobody overtook, makes the key vacant.",
		Mend:  "don't look at the lease in a release; the token decides.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			r.lapse(r.b, key, r.lease)
			r.commit(r.a, key, ending(record.Token, backend.Release))
			r.stands("the record", key, in(record, backend.Vacant))
		},
	},
	{
		Name:  "Release/AfterAbandonApplies",
		Prose: "Release by the token that ended its claim by Abandon makes the key vacant, attempt and fence kept.",
		Mend:  "Abandon ends the lease, not the token's right to release.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(record.Token, backend.Abandon))
			r.commit(r.a, key, ending(record.Token, backend.Release))
			r.stands("the record", key, in(record, backend.Vacant))
		},
	},
	{
		Name:  "Release/CompletedIsSuperseded",
		Prose: "Release of a completed key is ErrSuperseded and changes nothing, by the token that completed it too.",
		Mend:  "completed is final: a clean-up that comes late must not delete the answer.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.unchanged("the release", key, func() {
				r.superseded(r.a, key, stray(ending(record.Token, backend.Release)))
				r.superseded(r.b, key, ending(r.token(), backend.Release))
			})
		},
	},
	{
		Name:  "Release/NotTheHolder",
		Prose: "Release by a token that doesn't hold the key is ErrSuperseded and changes nothing, whatever state the key is in: a waiter that gives up must not end the leader's claim.",
		Mend:  "compare the token in the same step as the write.",
		run:   func(r *rig) { r.refusesStrangers(backend.Release) },
	},
	{
		Name:  "Release/UnknownLeavesATrace",
		Prose: "Release of an unknown key, with LeaseHeld or without, leaves a vacant record by that token with the request's attempt and fence; others take it by that fence.",
		Mend:  "the unknown row of Release: the claim may still be under way and must find its token dead.",
		run: func(r *rig) {
			for _, leaseHeld := range []bool{false, true} {
				key := r.key()
				request := stray(ending(r.token(), backend.Release))
				request.LeaseHeld = leaseHeld
				start := time.Now()
				r.commit(r.a, key, request)
				r.stands("the trace", key, backend.Record{
					State: backend.Vacant, Token: request.Token, Attempt: 77, Fence: 77_000,
					Fingerprint: request.Fingerprint, Metadata: request.Metadata,
				})
				r.about("Remaining of the trace", r.fetch(r.b, key).Remaining, request.Keep, start)
				next := r.take(r.b, key, takingSeen(r.token(), 77_000))
				if next.Attempt != 78 || next.Fence != 77_001 {
					r.failf("who took the trace got %s", show(next))
				}
			}
		},
	},
	{
		Name:  "Release/BeforeLateClaim",
		Prose: "A claim that arrives after its own release is refused: it would hold the key for nobody.",
		Mend:  "the trace of a release must refuse its own token, whatever Seen is, and renewals of it.",
		run: func(r *rig) {
			key, claim := r.key(), taking(r.token())
			r.commit(r.a, key, ending(claim.Token, backend.Release))
			record := r.fetch(r.b, key)
			if record.State != backend.Vacant || record.Token != claim.Token {
				r.failf("the release left %s", show(record))
			}
			r.unchanged("the late claim", key, func() {
				r.is("the late claim's reply", r.claim(r.a, key, claim), record)
				claim.Seen = record.Fence
				r.is("the late claim's reply", r.claim(r.b, key, claim), record)
				r.is("a renewal's reply", r.claim(r.b, key, renewal(backend.Record{Token: claim.Token, Fence: record.Fence, Attempt: 1}, long)), record)
			})
		},
	},
	{
		Name:  "Release/KeepEnds",
		Prose: "A released record, or the trace of a release, is forgotten when Keep is over, and not before; then the key is taken by Seen 0 and starts at attempt 1.",
		Mend:  "Keep of the release is how long its record stays.",
		run: func(r *rig) {
			// The longer Keep is watched from where the shorter one has ended.
			keys, start := [2]string{r.key(), r.key()}, r.now()
			for i, key := range keys {
				token := r.token()
				if i == 0 {
					r.take(r.a, key, taking(token))
				}
				request := ending(token, backend.Release)
				request.Keep = time.Duration(2+i) * r.lease
				r.commit(r.a, key, request)
			}
			for i, key := range keys {
				r.notBefore("the released record was forgotten", start, time.Duration(2+i)*r.lease, func() bool { return r.fetch(r.b, key).Unknown() })
				next := taking(r.token())
				r.is("the next claim", r.take(r.b, key, next), held(next, 1, 1))
			}
		},
	},
}
