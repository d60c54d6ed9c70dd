package conformance

import (
	"time"

	"github.com/reprise-go/reprise/backend"
)

var fetchRules = []Rule{
	{
		Name:  "Fetch/UnknownIsTheZeroRecord",
		Prose: "Fetch of an unknown key returns the zero Record and a nil error, and doesn't make it known.",
		Mend:  "absent isn't an error, and it has no fence.",
		run: func(r *rig) {
			key := r.key()
			for range 2 {
				record := r.fetch(r.b, key)
				r.is("the record", record, backend.Record{})
				if record.LeaseLeft != 0 || record.Remaining != 0 {
					r.failf("the record of an unknown key is %s", show(record))
				}
			}
		},
	},
	{
		Name:  "Fetch/Claimed",
		Prose: "Fetch of a claimed key has the claim's fields, no outcome, 0 < LeaseLeft <= Lease, and Remaining of what is left of Lease + Keep.",
		Mend:  "work LeaseLeft and Remaining out by the store's clock.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			start := time.Now()
			want := r.take(r.a, key, request)
			for _, s := range []backend.Backend{r.a, r.b} {
				got := r.fetch(s, key)
				r.is("the record", got, want)
				if got.LeaseLeft <= 0 || got.LeaseLeft > long {
					r.failf("LeaseLeft of a lease of %v is %v", time.Duration(long), got.LeaseLeft)
				}
				r.about("LeaseLeft", got.LeaseLeft, long, start)
				r.about("Remaining", got.Remaining, long+keep, start)
			}
		},
	},
	{
		Name:  "Fetch/Abandoned",
		Prose: "Fetch of an abandoned key, by a lapsed lease or by Abandon, has the claim's fields, no outcome, no LeaseLeft, and 0 < Remaining <= Keep.",
		Mend:  "a lapsed lease is a state, not a disappearance.",
		run: func(r *rig) {
			for _, way := range abandonments {
				key := r.key()
				want := in(way.abandon(r, key, r.token(), 0), backend.Abandoned)
				got := r.fetch(r.b, key)
				r.is("after "+way.name, got, want)
				if got.LeaseLeft != 0 || got.Remaining <= 0 || got.Remaining > keep+slack {
					r.failf("after %s the record is %s; Keep was %v", way.name, show(got), time.Duration(keep))
				}
			}
		},
	},
	{
		Name:  "Fetch/Completed",
		Prose: "Fetch of a completed key has the claim's fields and the outcome, no LeaseLeft, and Remaining of what is left of Retention.",
		Mend:  "Retention of the commit replaces Lease and Keep of the claim.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			start := time.Now()
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			got := r.fetch(r.b, key)
			r.is("the record", got, completed(record, "answer"))
			if got.LeaseLeft != 0 {
				r.failf("a completed record has the LeaseLeft %v", got.LeaseLeft)
			}
			r.about("Remaining", got.Remaining, retention, start)
		},
	},
	{
		Name:  "Fetch/Released",
		Prose: "Fetch of a released key is Vacant with the claim's attempt and fence, no LeaseLeft, and Remaining of what is left of Keep.",
		Mend:  "a released key isn't an unknown one.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			start := time.Now()
			r.commit(r.a, key, ending(record.Token, backend.Release))
			got := r.fetch(r.b, key)
			r.is("the record", got, in(record, backend.Vacant))
			if got.LeaseLeft != 0 || got.Unknown() {
				r.failf("a released record is %s", show(got))
			}
			r.about("Remaining", got.Remaining, keep, start)
		},
	},
	{
		Name:  "Fetch/ChangesNothing",
		Prose: "Fetch changes nothing: however often a key is looked at, its lease ends and its record is forgotten when they would have.",
		Mend:  "reading must not touch the time to live.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease, request.Keep = 2*r.lease, r.lease
			r.take(r.a, key, request)
			left := r.fetch(r.b, key)
			r.until("the key that is looked at all the time is unknown", 3*r.lease, func() (time.Duration, bool) {
				now := r.fetch(r.b, key)
				if now.LeaseLeft > left.LeaseLeft+time.Millisecond || now.Remaining > left.Remaining+time.Millisecond {
					r.failf("looking at a key made %s of %s", show(now), show(left))
				}
				left = now
				return r.lease / 10, now.Unknown()
			})
		},
	},
	{
		Name:  "Fetch/IsNeverStale",
		Prose: "Fetch, and every other verb, sees what was acknowledged before it was called, through whatever connection: no answer comes from a cache that may be behind.",
		Mend:  "read by a command that no client answers by itself.",
		run: func(r *rig) {
			for i := range 50 {
				key := r.key()
				r.unknown("before the claim", key)
				record := r.take(r.a, key, taking(r.token()))
				r.is("right after the claim", r.fetch(r.b, key), record)
				r.is("right after the claim, to another claim", r.claim(r.b, key, taking(r.token())), record)
				if i%2 == 0 {
					r.commit(r.a, key, completing(record.Token, []byte("answer")))
					r.is("right after the commit", r.fetch(r.b, key), completed(record, "answer"))
					r.is("right after the commit, to a claim", r.claim(r.b, key, taking(r.token())), completed(record, "answer"))
				} else {
					r.commit(r.a, key, ending(record.Token, backend.Release))
					r.is("right after the release", r.fetch(r.b, key), in(record, backend.Vacant))
				}
			}
		},
	},
}
