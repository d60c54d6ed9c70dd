package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var lifetimeRules = []Rule{
	{
		Name:  "Lifetime/RetentionEnds",
		Prose: "A completed record is forgotten when Retention is over, and not before, and Keep and Lease of the claim don't matter; then the key is taken by Seen 0 and runs again as attempt 1.",
		Mend:  "Retention of the commit is how long a completed record stays.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			request := ending(record.Token, backend.Complete)
			request.Retention, request.Keep = 2*r.lease, 9*keep
			start := r.now()
			r.commit(r.a, key, request)
			r.notBefore("the completed record was forgotten", start, request.Retention, func() bool { return r.fetch(r.b, key).Unknown() })
			next := taking(r.token())
			r.is("the next claim", r.take(r.b, key, next), held(next, 1, 1))
		},
	},
	{
		Name:  "Lifetime/RetentionIsNotTheLease",
		Prose: "Lease, Keep and Retention are three durations: a short lease under a long Keep leaves an abandoned record for long, a long Retention after a short lease a completed one.",
		Mend:  "which duration goes where.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease, request.Keep = r.lease, 3*keep
			start := time.Now()
			record := r.take(r.a, key, request)
			r.about("Remaining of the claim", r.fetch(r.b, key).Remaining, r.lease+3*keep, start)
			r.lapse(r.b, key, r.lease)
			got := r.fetch(r.b, key).Remaining
			if got > 3*keep+slack || got < 2*keep {
				r.failf("Remaining of the lapsed claim is %v, want what is left of Keep, %v", got, 3*keep)
			}
			start = time.Now()
			r.commit(r.a, key, ending(record.Token, backend.Complete))
			r.about("Remaining of the completed record", r.fetch(r.b, key).Remaining, retention, start)
		},
	},
	{
		Name:  "Lifetime/LateSendsDontMoveTheEnd",
		Prose: "Late renewals, repeated claims and refused commits neither shorten nor extend how long a record is kept, in any state.",
		Mend:  "set the time to live only together with a write that the tables allow.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.commit(r.a, key, ending(record.Token, end))
				r.unchanged("late sends after "+end.String(), key, func() {
					r.claim(r.b, key, renewal(record, time.Minute))
					r.claim(r.b, key, renewal(record, 100*keep))
					r.claim(r.b, key, foreign(taking(record.Token)))
					r.claim(r.b, key, foreign(takingSeen(record.Token, record.Fence)))
					for _, other := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
						r.superseded(r.b, key, stray(ending(r.token(), other)))
					}
				})
			}
		},
	},
	{
		Name:  "Lifetime/LeaseMoreThanKeep",
		Prose: "A lease that is much longer than Keep, and a Keep that is much longer than the lease, both last as long as they say.",
		Mend:  "the lease left mustn't be worked out from a record that is kept for less than the lease.",
		run: func(r *rig) {
			for _, d := range []struct{ lease, keep time.Duration }{{10 * time.Hour, r.lease}, {10 * time.Hour, time.Minute}, {time.Minute, 10 * time.Hour}} {
				key, request := r.key(), taking(r.token())
				request.Lease, request.Keep = d.lease, d.keep
				start := time.Now()
				r.take(r.a, key, request)
				got := r.fetch(r.b, key)
				r.about("LeaseLeft", got.LeaseLeft, d.lease, start)
				r.about("Remaining", got.Remaining, d.lease+d.keep, start)
			}
		},
	},
}
