package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

// strangers are records that belong to another token than a commit's.
var strangers = []struct {
	name string
	make func(r *rig, key string)
}{
	{"another's live claim", func(r *rig, key string) { r.take(r.a, key, taking(r.token())) }},
	{"another's abandoned claim", func(r *rig, key string) {
		r.commit(r.a, key, ending(r.take(r.a, key, taking(r.token())).Token, backend.Abandon))
	}},
	{"another's lapsed claim", func(r *rig, key string) {
		request := taking(r.token())
		request.Lease = r.lease
		r.take(r.a, key, request)
		r.lapse(r.b, key, r.lease)
	}},
	{"another's released claim", func(r *rig, key string) {
		r.commit(r.a, key, ending(r.take(r.a, key, taking(r.token())).Token, backend.Release))
	}},
	{"another's outcome", func(r *rig, key string) {
		r.commit(r.a, key, ending(r.take(r.a, key, taking(r.token())).Token, backend.Complete))
	}},
}

// refusesStrangers expects an ending by a token that never had the key to be
// refused without effect, whatever it says of its lease.
func (r *rig) refusesStrangers(end backend.Ending) {
	r.Helper()
	for _, other := range strangers {
		key := r.key()
		other.make(r, key)
		r.unchanged(end.String()+" on "+other.name, key, func() {
			for _, leaseHeld := range []bool{false, true} {
				request := stray(ending(r.token(), end))
				request.LeaseHeld = leaseHeld
				r.superseded(r.a, key, request)
				r.superseded(r.b, key, request)
			}
		})
	}
}

var commitRules = []Rule{
	{
		Name:  "Commit/CompletesTheClaim",
		Prose: "Complete by the holder makes the record Completed with the outcome, at once and for every process: in Fetch, Wait and the reply to every claim.",
		Mend:  "the write of Complete; no read may be answered from a cache of its own.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			want := completed(record, "answer")
			r.stands("the record", key, want)
			r.is("Wait", r.wait(r.b, key, record.Token), want)
			r.is("a claim", r.claim(r.b, key, taking(r.token())), want)
		},
	},
	{
		Name:  "Commit/FromAnotherConnection",
		Prose: "A claim made through one connection can be committed through another: a token belongs to whoever knows it.",
		Mend:  "keep nothing about claims in the backend, only in the store.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.commit(r.b, key, ending(record.Token, end))
				if got := r.fetch(r.a, key); got.State == backend.Claimed {
					r.failf("after %v through another connection the record is %s", end, show(got))
				}
			}
		},
	},
	{
		Name:  "Commit/RepeatedIsSuccess",
		Prose: "Complete sent again with the same outcome by the token that completed is a success and changes nothing, however often and from wherever.",
		Mend:  "the reply of the first send may have been lost: compare token and outcome, then say yes.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			request := completing(record.Token, []byte("answer"))
			r.commit(r.a, key, request)
			r.unchanged("the repeated commit", key, func() {
				for _, s := range []backend.Backend{r.a, r.b, r.a} {
					r.commit(s, key, request)
					r.commit(s, key, stray(request))
				}
			})
		},
	},
	{
		Name:  "Commit/FirstOutcomeWins",
		Prose: "Complete with another outcome by the token that completed is ErrSuperseded and changes nothing.",
		Mend:  "an outcome is final: compare the whole outcome before saying that a repeated commit was applied.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.unchanged("the other outcome", key, func() {
				for _, outcome := range []string{"", "answeR", "answer\x00", "answe", "another"} {
					r.superseded(r.a, key, stray(completing(record.Token, []byte(outcome))))
				}
			})
		},
	},
	{
		Name:  "Commit/NotTheHolder",
		Prose: "Complete by a token that doesn't hold the key is ErrSuperseded and changes nothing, whatever state the key is in and whatever LeaseHeld says.",
		Mend:  "compare the token in the same step as the write; LeaseHeld matters only for unknown keys.",
		run:   func(r *rig) { r.refusesStrangers(backend.Complete) },
	},
	{
		Name:  "Commit/AfterTheLease",
		Prose: "Complete by the holder whose lease lapsed, and whom nobody overtook, is applied: a lapsed lease may be taken over, it isn't void.",
		Mend:  "don't look at the lease in a commit; the token decides.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			r.lapse(r.b, key, r.lease)
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.stands("the record", key, completed(record, "answer"))
		},
	},
	{
		Name:  "Commit/AfterTakeoverIsSuperseded",
		Prose: "Complete by a holder whose lease lapsed and who was overtaken is ErrSuperseded and changes nothing.",
		Mend:  "compare the token in the same step as the write.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			r.lapse(r.b, key, r.lease)
			next := r.take(r.b, key, takingSeen(r.token(), record.Fence))
			r.unchanged("the overtaken holder's commit", key, func() {
				r.superseded(r.a, key, stray(completing(record.Token, []byte("late"))))
			})
			r.commit(r.b, key, completing(next.Token, []byte("answer")))
			r.unchanged("the overtaken holder's commit", key, func() {
				r.superseded(r.a, key, stray(completing(record.Token, []byte("late"))))
				r.superseded(r.a, key, stray(completing(record.Token, []byte("answer"))))
			})
		},
	},
	{
		Name:  "Commit/AfterAbandonApplies",
		Prose: "Complete by the token that ended its claim by Abandon is applied while nobody has overtaken it.",
		Mend:  "Abandon ends the lease, not the token's right to answer.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(record.Token, backend.Abandon))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.stands("the record", key, completed(record, "answer"))
		},
	},
	{
		Name:  "Commit/AfterReleaseIsSuperseded",
		Prose: "Complete by the token that released the key is ErrSuperseded and changes nothing.",
		Mend:  "a released token is dead, for commits too.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, ending(record.Token, backend.Release))
			r.unchanged("the commit", key, func() {
				r.superseded(r.a, key, stray(completing(record.Token, []byte("late"))))
			})
		},
	},
	{
		Name:  "Commit/KeepsTheClaims",
		Prose: "A commit that is applied keeps the claim's token, attempt, fence, fingerprint and metadata, whatever the request carries and however the claim ends.",
		Mend:  "a commit must take these from the stored record; those of the request are for unknown keys only.",
		run: func(r *rig) {
			for end, state := range map[backend.Ending]backend.State{
				backend.Complete: backend.Completed, backend.Release: backend.Vacant, backend.Abandon: backend.Abandoned,
			} {
				key := r.key()
				first := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(first.Token, backend.Release))
				record := r.take(r.a, key, takingSeen(r.token(), first.Fence))
				request := stray(ending(record.Token, end))
				r.commit(r.a, key, request)
				want := in(record, state)
				want.Outcome = request.Outcome
				r.stands("after "+end.String(), key, want)
			}
		},
	},
	{
		Name:  "Commit/ForgottenClaimIsKept",
		Prose: "Complete of an unknown key with LeaseHeld stores the outcome with the request's token, attempt, fence, fingerprint and metadata: the store forgot the claim, nobody has overtaken it.",
		Mend:  "the unknown row of Complete.",
		run: func(r *rig) {
			key := r.key()
			request := stray(completing(r.token(), []byte("answer")))
			start := time.Now()
			r.commit(r.a, key, request)
			r.stands("the record", key, backend.Record{
				State: backend.Completed, Token: request.Token, Attempt: 77, Fence: 77_000,
				Fingerprint: request.Fingerprint, Metadata: request.Metadata, Outcome: request.Outcome,
			})
			r.about("Remaining", r.fetch(r.b, key).Remaining, request.Retention, start)
			r.commit(r.b, key, request)
			r.superseded(r.b, key, completing(request.Token, []byte("another")))
		},
	},
	{
		Name:  "Commit/UnknownWithoutLeaseIsSuperseded",
		Prose: "Complete of an unknown key without LeaseHeld is ErrSuperseded and stores nothing: the sender may have been overtaken by an answer that is forgotten.",
		Mend:  "the unknown row of Complete: look at LeaseHeld.",
		run: func(r *rig) {
			key := r.key()
			request := stray(completing(r.token(), []byte("late")))
			request.LeaseHeld = false
			r.superseded(r.a, key, request)
			r.unknown("after a commit that was refused", key)
		},
	},
	{
		Name:  "Commit/FenceOfAForgottenClaim",
		Prose: "A commit into an unknown key whose sender was never told a fence stores one of at least 1, whatever the ending.",
		Mend:  "a fence that is stored is never below 1: it must be possible to name it by Seen.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
				key := r.key()
				request := ending(r.token(), end)
				request.LeaseHeld = true
				r.commit(r.a, key, request)
				record := r.fetch(r.b, key)
				if record.Fence < 1 || record.Token != request.Token {
					r.failf("%v into an unknown key with Fence 0 left %s", end, show(record))
				}
				if end != backend.Complete {
					r.take(r.b, key, takingSeen(r.token(), record.Fence))
				}
			}
		},
	},
	{
		Name:  "Commit/OutlivesTheLease",
		Prose: "A completed record doesn't turn abandoned when the lease of its claim would have ended.",
		Mend:  "a completed record has no lease; Retention replaces all that the claim set.",
		run: func(r *rig) {
			key, clock, request := r.key(), r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			// A claim that was made later, with a longer lease, is the clock.
			later := taking(r.token())
			later.Lease = 2 * r.lease
			r.take(r.a, clock, later)
			r.lapse(r.a, clock, later.Lease)
			r.stands("after the lease of the claim", key, completed(record, "answer"))
		},
	},
	{
		Name:  "Commit/LaterTokensLoseAll",
		Prose: "Once a key is completed no verb by any token changes it: the outcome and how long it is kept stay until the retention ends.",
		Mend:  "completed is final and immutable; look for a write of the time to live that isn't guarded by the state.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.unchanged("what came after the commit", key, func() {
				for _, token := range []backend.Token{record.Token, r.token()} {
					late := record
					late.Token = token
					r.claim(r.a, key, foreign(taking(token)))
					r.claim(r.b, key, foreign(takingSeen(token, record.Fence)))
					r.claim(r.a, key, foreign(renewal(late, long)))
					r.superseded(r.b, key, stray(ending(token, backend.Release)))
					r.superseded(r.a, key, stray(ending(token, backend.Abandon)))
					r.superseded(r.b, key, stray(completing(token, []byte("another"))))
					r.wait(r.b, key, token)
				}
			})
		},
	},
}
