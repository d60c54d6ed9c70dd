package conformance

import (
	"github.com/reprise-go/reprise/backend"
)

// forget forgets the key, or skips the rule where the backend can't.
func (r *rig) forget(s backend.Backend, key string) {
	r.Helper()
	forgetter, ok := s.(backend.Forgetter)
	if !ok {
		r.Skipf("skipped: %T is no backend.Forgetter", s)
	}
	ctx, cancel := r.ctx()
	defer cancel()
	if err := forgetter.Forget(ctx, key); err != nil {
		r.failf("Forget returned the error %v", err)
	}
}

var forgetRules = []Rule{
	{
		Name:  "Forget/MakesTheKeyUnknown",
		Prose: "Forget makes a key unknown for every process, whatever state it is in; it is taken by Seen 0 then, as attempt 1.",
		Mend:  "Forget removes the record, all of it.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{0, backend.Complete, backend.Release, backend.Abandon} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				if end != 0 {
					r.commit(r.a, key, ending(record.Token, end))
				}
				r.forget(r.b, key)
				r.unknown("after Forget", key)
				next := taking(r.token())
				r.is("the next claim", r.take(r.a, key, next), held(next, 1, 1))
			}
		},
	},
	{
		Name:  "Forget/UnknownIsNoError",
		Prose: "Forgetting an unknown key is no error, and leaves it unknown.",
		Mend:  "the number of records removed may be 0.",
		run: func(r *rig) {
			key := r.key()
			r.forget(r.a, key)
			r.forget(r.b, key)
			r.unknown("after Forget", key)
		},
	},
	{
		Name:  "Forget/OnlyThatKey",
		Prose: "Forget removes one key, byte for byte, and no other, though it look like a pattern.",
		Mend:  "no patterns, no prefixes.",
		run: func(r *rig) {
			key := r.key()
			for _, pattern := range []string{key + "*", key + "?", key} {
				neighbour := pattern + "x"
				record := r.take(r.a, neighbour, taking(r.token()))
				r.take(r.a, pattern, taking(r.token()))
				r.forget(r.b, pattern)
				r.unknown("after Forget", pattern)
				r.is("the neighbour", r.fetch(r.b, neighbour), record)
			}
		},
	},
	{
		Name:  "Forget/WakesWaiters",
		Prose: "Forget wakes those who wait for the key, in every process, with a record that says so, long before the lease would have ended.",
		Mend:  "Forget pushes like a commit.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			there, here := r.startWait(r.b, key, record.Token), r.startWait(r.a, key, record.Token)
			r.asleep(there, here)
			r.forget(r.a, key)
			for _, w := range []*waiting{there, here} {
				if got := w.returned("Forget"); !got.Unknown() {
					r.failf("a waiter was woken by Forget with %s", show(got))
				}
			}
		},
	},
	{
		Name:  "Forget/TheHolderGoesOn",
		Prose: "A holder whose claim was forgotten re-creates it by a renewal, or completes it with LeaseHeld; one whose key another has taken since does neither.",
		Mend:  "the unknown rows of the renewal and of Complete, and the comparison of tokens once the key is another's.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.forget(r.a, key)
			r.is("the renewal", r.claim(r.b, key, renewal(record, long)), record)
			r.forget(r.a, key)
			request := completing(record.Token, []byte("answer"))
			request.LeaseHeld, request.Attempt, request.Fence = true, record.Attempt, record.Fence
			request.Fingerprint, request.Metadata = record.Fingerprint, record.Metadata
			r.commit(r.b, key, request)
			r.stands("the record", key, completed(record, "answer"))

			r.forget(r.a, key)
			next := r.take(r.a, key, taking(r.token()))
			r.renewalChangesNothing(key, record, next)
			r.unchanged("the forgotten holder's commit", key, func() { r.superseded(r.b, key, request) })
		},
	},
}
