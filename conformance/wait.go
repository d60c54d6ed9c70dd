package conformance

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var waitRules = []Rule{
	{
		Name:  "Wait/ZeroTokenReturnsAtOnce",
		Prose: "Wait with the zero token returns at once with the record as it stands, whatever its state, with 0 < LeaseLeft <= the lease of a claimed one.",
		Mend:  "the zero token names nobody, so nobody holds the key by it.",
		run: func(r *rig) {
			key := r.key()
			r.is("of an unknown key", r.wait(r.b, key, backend.Token{}), backend.Record{})
			record := r.take(r.a, key, taking(r.token()))
			got := r.wait(r.b, key, backend.Token{})
			r.is("of a claimed key", got, record)
			if got.LeaseLeft <= 0 || got.LeaseLeft > long {
				r.failf("Wait says LeaseLeft %v of a lease of %v", got.LeaseLeft, time.Duration(long))
			}
			r.commit(r.a, key, ending(record.Token, backend.Release))
			r.is("of a released key", r.wait(r.b, key, backend.Token{}), in(record, backend.Vacant))
		},
	},
	{
		Name:  "Wait/UnknownKeyReturnsAtOnce",
		Prose: "Wait for an unknown key returns the zero Record at once, whatever the token.",
		Mend:  "look at the record before the first sleep.",
		run: func(r *rig) {
			if record := r.wait(r.b, r.key(), r.token()); !record.Unknown() || !record.Token.IsZero() {
				r.failf("Wait for an unknown key returned %s", show(record))
			}
		},
	},
	{
		Name:  "Wait/AnotherHolderReturnsAtOnce",
		Prose: "Wait for a token that doesn't hold the key returns at once with the record of the one that does, with 0 < LeaseLeft <= its lease.",
		Mend:  "compare the token of the record with the one that is waited for.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			got := r.wait(r.b, key, r.token())
			r.is("the record", got, record)
			if got.LeaseLeft <= 0 || got.LeaseLeft > long {
				r.failf("Wait says LeaseLeft %v of a lease of %v", got.LeaseLeft, time.Duration(long))
			}
		},
	},
	{
		Name:  "Wait/EndedClaimReturnsAtOnce",
		Prose: "Wait for a token whose claim has ended returns at once with the record: completed with its outcome, released or abandoned.",
		Mend:  "look at the record before the first sleep.",
		run: func(r *rig) {
			for end, state := range map[backend.Ending]backend.State{
				backend.Complete: backend.Completed, backend.Release: backend.Vacant, backend.Abandon: backend.Abandoned,
			} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				request := ending(record.Token, end)
				r.commit(r.a, key, request)
				want := in(record, state)
				want.Outcome = request.Outcome
				r.is("after "+end.String(), r.wait(r.b, key, record.Token), want)
				r.is("after "+end.String(), r.wait(r.a, key, record.Token), want)
			}
		},
	},
	{
		Name:  "Wait/ChangesNothing",
		Prose: "Wait changes nothing of the record, whether it returns at once or is ended by its ctx.",
		Mend:  "waiting is reading.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.unchanged("waiting", key, func() {
				r.wait(r.b, key, r.token())
				w := r.startWait(r.b, key, record.Token)
				r.asleep(w)
				w.stop()
			})
		},
	},
	{
		Name:  "Wait/CancelIsPrompt",
		Prose: "Wait returns soon after its ctx is cancelled with an error that is context.Canceled, while the lease still runs, and leaves other waiters waiting.",
		Mend:  "select on ctx.Done() wherever Wait sleeps, and end only this caller's part of what waiters share.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			other := r.startWait(r.b, key, record.Token)
			cancelled := r.startWait(r.b, key, record.Token)
			r.asleep(other, cancelled)
			cancelled.cancel()
			if !cancelled.ended() {
				r.failf("Wait hadn't returned %v after its ctx was cancelled", r.patience)
			}
			if !errors.Is(cancelled.err, context.Canceled) {
				r.failf("Wait returned %s, %v after its ctx was cancelled, want an error that is context.Canceled", show(cancelled.record), cancelled.err)
			}
			r.asleep(other)
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			r.is("the other waiter", other.returned("the commit"), completed(record, "answer"))
		},
	},
	{
		Name:  "Wait/DeadlineIsTheCtxsError",
		Prose: "Wait whose ctx runs out returns soon after with an error that is context.DeadlineExceeded.",
		Mend:  "a client's own time-out isn't context.DeadlineExceeded: when ctx.Err() isn't nil, wrap it.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			ctx, cancel := context.WithTimeout(r.Context(), 30*time.Millisecond)
			w := r.startWaitCtx(ctx, cancel, r.b, key, record.Token)
			if !w.ended() {
				r.failf("Wait hadn't returned %v after its ctx ran out", r.patience)
			}
			if !errors.Is(w.err, context.DeadlineExceeded) {
				r.failf("Wait returned %s, %v after its ctx ran out, want an error that is context.DeadlineExceeded", show(w.record), w.err)
			}
		},
	},
	{
		Name:  "Wait/LeavesNoGoroutine",
		Prose: "Waits that were cancelled leave no goroutine behind, however many there were.",
		Mend:  "end what a Wait started when it returns; one shared subscriber per backend is fine, one per key that is never ended isn't.",
		alone: true,
		run: func(r *rig) {
			const waiters = 50
			// The first Wait may start what all of them share.
			warm := r.key()
			w := r.startWait(r.b, warm, r.take(r.a, warm, taking(r.token())).Token)
			r.asleep(w)
			w.stop()
			base := r.goroutines()
			for range 2 {
				waits := make([]*waiting, waiters)
				for i := range waits {
					key := r.key()
					waits[i] = r.startWait(r.b, key, r.take(r.a, key, taking(r.token())).Token)
				}
				r.asleep(waits...)
				for _, w := range waits {
					w.cancel()
				}
				for _, w := range waits {
					if !w.ended() {
						r.failf("Wait hadn't returned %v after its ctx was cancelled", r.patience)
					}
				}
			}
			// Others run at the same time, and come and go: half of a goroutine for each
			// Wait is not yet a leak, and what has only not ended yet is none.
			now := runtime.NumGoroutine()
			for end := time.Now().Add(r.patience); now >= base+waiters && time.Now().Before(end); now = runtime.NumGoroutine() {
				time.Sleep(5 * time.Millisecond)
			}
			if now >= base+waiters {
				r.failf("%d goroutines before, %d after %d cancelled Waits", base, now, 2*waiters)
			}
		},
	},
	{
		Name:  "Wait/DoesNotStarveOthers",
		Prose: "However many wait, claims and commits go on: a Wait holds nothing that another verb needs.",
		Mend:  "no blocking command and no held connection of the pool that the other verbs use; no lock held while waiting.",
		run: func(r *rig) {
			waits, records := make([]*waiting, 64), make([]backend.Record, 64)
			keys := make([]string, len(waits))
			for i := range waits {
				keys[i] = r.key()
				records[i] = r.take(r.a, keys[i], taking(r.token()))
				waits[i] = r.startWait(r.a, keys[i], records[i].Token)
			}
			r.asleep(waits...)
			other := r.key()
			record := r.take(r.a, other, taking(r.token()))
			r.commit(r.a, other, completing(record.Token, []byte("answer")))
			for i, key := range keys {
				r.commit(r.a, key, completing(records[i].Token, []byte("answer")))
			}
			for i, w := range waits {
				r.is("a waiter", w.returned("the commit"), completed(records[i], "answer"))
			}
		},
	},
}

// goroutines counts them once their number no longer falls, or has long had the
// time to.
func (r *rig) goroutines() int {
	deadline := time.Now().Add(r.patience)
	lowest, same := runtime.NumGoroutine(), 0
	for same < 20 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
		if n := runtime.NumGoroutine(); n < lowest {
			lowest, same = n, 0
		} else {
			same++
		}
	}
	return lowest
}
