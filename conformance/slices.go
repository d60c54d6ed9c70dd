package conformance

import (
	"bytes"

	"github.com/reprise-go/reprise/backend"
)

func scribble(slices ...[]byte) {
	for _, s := range slices {
		s = s[:cap(s)]
		for i := range s {
			s[i] = '#'
		}
	}
}

func scribbleOn(record backend.Record) {
	scribble(record.Fingerprint, record.Metadata, record.Outcome)
}

var sliceRules = []Rule{
	{
		Name:  "Slices/RequestsMayBeReused",
		Prose: "The caller may reuse the slices of a request once the call has returned: the store keeps what was sent.",
		Mend:  "copy what is kept.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			want := held(request, 1, 1)
			request.Fingerprint, request.Metadata = bytes.Clone(request.Fingerprint), bytes.Clone(request.Metadata)
			r.take(r.a, key, request)
			scribble(request.Fingerprint, request.Metadata)
			r.stands("the claim", key, want)
			outcome := []byte("answer")
			r.commit(r.a, key, completing(request.Token, outcome))
			scribble(outcome)
			r.stands("the outcome", key, completed(want, "answer"))

			for _, renew := range []bool{true, false} {
				key, record := r.key(), backend.Record{Token: r.token(), Attempt: 2, Fence: 9}
				fingerprint, metadata, outcome := []byte("fingerprint"), []byte("metadata"), []byte("answer")
				if renew {
					request := renewal(record, long)
					request.Fingerprint, request.Metadata = fingerprint, metadata
					r.take(r.a, key, request)
					record.State = backend.Claimed
				} else {
					r.commit(r.a, key, backend.CommitRequest{
						Token: record.Token, Ending: backend.Complete, Retention: retention, LeaseHeld: true,
						Attempt: 2, Fence: 9, Fingerprint: fingerprint, Metadata: metadata, Outcome: outcome,
					})
					record.State, record.Outcome = backend.Completed, []byte("answer")
				}
				scribble(fingerprint, metadata, outcome)
				record.Fingerprint, record.Metadata = []byte("fingerprint"), []byte("metadata")
				r.stands("a forgotten claim", key, record)
			}
		},
	},
	{
		Name:  "Slices/RecordsBelongToTheCaller",
		Prose: "The slices of a record belong to whoever called the verb: writing on them, or appending to them, changes neither the store nor another caller's record.",
		Mend:  "copy what is handed out, to each caller its own.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			want := held(request, 1, 1)
			scribbleOn(r.take(r.a, key, taking(request.Token)))
			r.stands("after the claim's record was written on", key, want)
			for _, s := range []backend.Backend{r.a, r.b} {
				scribbleOn(r.claim(s, key, taking(request.Token)))
				scribbleOn(r.claim(s, key, taking(r.token())))
				scribbleOn(r.fetch(s, key))
				scribbleOn(r.wait(s, key, r.token()))
				r.stands("after a claimed key's records were written on", key, want)
			}
			waits := []*waiting{r.startWait(r.b, key, request.Token), r.startWait(r.b, key, request.Token), r.startWait(r.a, key, request.Token)}
			r.asleep(waits...)
			r.commit(r.a, key, completing(request.Token, []byte("answer")))
			want = completed(want, "answer")
			for _, w := range waits {
				record := w.returned("the commit")
				r.is("a waiter's record", record, want)
				scribbleOn(record)
			}
			for _, s := range []backend.Backend{r.a, r.b} {
				first := r.claim(s, key, taking(r.token()))
				second := r.claim(s, key, taking(r.token()))
				third := r.fetch(s, key)
				scribbleOn(first)
				r.is("a record beside one that was written on", second, want)
				r.is("a record beside one that was written on", third, want)
				scribbleOn(second)
				scribbleOn(third)
				scribbleOn(r.wait(s, key, request.Token))
				r.stands("after a completed key's records were written on", key, want)
			}
		},
	},
	{
		Name:  "Slices/RequestsAreNotWrittenOn",
		Prose: "A verb doesn't write on the slices of its request, nor on the memory behind their ends.",
		Mend:  "append to a buffer of the backend's own.",
		run: func(r *rig) {
			room := func(s string) []byte {
				return append(append(make([]byte, 0, 2*len(s)+64), s...), "behind the end"...)[:len(s)]
			}
			key, request := r.key(), taking(r.token())
			request.Fingerprint, request.Metadata = room("fingerprint"), room("metadata")
			commit := completing(request.Token, room("answer"))
			commit.Fingerprint, commit.Metadata = room("fingerprint"), room("metadata")
			r.take(r.a, key, request)
			r.claim(r.b, key, request)
			r.commit(r.a, key, commit)
			r.claim(r.b, key, request)
			for _, s := range [][]byte{request.Fingerprint, request.Metadata, commit.Outcome, commit.Fingerprint, commit.Metadata} {
				if !bytes.HasPrefix(s[len(s):cap(s)], []byte("behind the end")) {
					r.failf("behind %q there is %q now", s, s[len(s):cap(s)])
				}
			}
			if string(request.Fingerprint) != "fingerprint" || string(request.Metadata) != "metadata" || string(commit.Outcome) != "answer" {
				r.failf("the requests became %q, %q and %q", request.Fingerprint, request.Metadata, commit.Outcome)
			}
		},
	},
}
