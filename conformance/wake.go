package conformance

import (
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// wakes expects an ending by one process to wake those who wait in others and in
// the same, long before the lease ends.
func (r *rig) wakes(request func(backend.Token) backend.CommitRequest, state backend.State) {
	r.Helper()
	key := r.key()
	record := r.take(r.a, key, taking(r.token()))
	there, here := r.startWait(r.b, key, record.Token), r.startWait(r.a, key, record.Token)
	r.asleep(there, here)
	commit := request(record.Token)
	r.commit(r.a, key, commit)
	want := in(record, state)
	want.Outcome = commit.Outcome
	r.is("a waiter in another process", there.returned("the commit"), want)
	r.is("a waiter in the same process", here.returned("the commit"), want)
}

var wakeRules = []Rule{
	{
		Name:  "Wait/WakesOnComplete",
		Prose: "Complete wakes those who wait, in every process, with the outcome, long before the lease ends.",
		Mend:  "a commit must push; the waiter must be registered under the same name as the push goes to.",
		run: func(r *rig) {
			for _, outcome := range [][]byte{[]byte("answer"), {}, random(300), random(300_000)} {
				r.wakes(func(t backend.Token) backend.CommitRequest { return completing(t, outcome) }, backend.Completed)
			}
		},
	},
	{
		Name:  "Wait/WakesOnRelease",
		Prose: "Release wakes those who wait, in every process, long before the lease ends.",
		Mend:  "every ending pushes, not Complete alone.",
		run: func(r *rig) {
			r.wakes(func(t backend.Token) backend.CommitRequest { return ending(t, backend.Release) }, backend.Vacant)
		},
	},
	{
		Name:  "Wait/WakesOnAbandon",
		Prose: "Abandon wakes those who wait, in every process, long before the lease would have ended.",
		Mend:  "every ending pushes, not Complete alone.",
		run: func(r *rig) {
			r.wakes(func(t backend.Token) backend.CommitRequest { return ending(t, backend.Abandon) }, backend.Abandoned)
		},
	},
	{
		Name:  "Wait/WakesOnEveryKey",
		Prose: "A commit wakes those who wait for its key whatever bytes the key is made of, and nobody who waits for another.",
		Mend:  "how the key gets into the name of the push channel and out of it.",
		run: func(r *rig) {
			prefix := r.key()
			for _, suffix := range []string{"*", "?", "[a]", "\x00", "\r\n", "\xff", "{x}", "{}", ":", " ", "%s", "\\"} {
				key, other := prefix+suffix, prefix+suffix+suffix
				record := r.take(r.a, key, taking(r.token()))
				bystander := r.take(r.a, other, taking(r.token()))
				w, asleep := r.startWait(r.b, key, record.Token), r.startWait(r.b, other, bystander.Token)
				r.asleep(w, asleep)
				r.commit(r.a, key, completing(record.Token, []byte("answer")))
				r.is("the waiter", w.returned("the commit"), completed(record, "answer"))
				if asleep.over() {
					r.failf("a commit of %q woke who waits for %q, with %s, %v", key, other, show(asleep.record), asleep.err)
				}
				asleep.stop()
			}
		},
	},
	{
		Name:  "Wait/WakesAtTheLeasesEnd",
		Prose: "Wait returns by itself when the lease that it saw has ended, with the record Abandoned: nobody pushes for a holder that died.",
		Mend:  "bound the sleep by LeaseLeft of the record that was looked at.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = 2 * r.lease
			record := r.take(r.a, key, request)
			there, here := r.startWait(r.b, key, record.Token), r.startWait(r.a, key, record.Token)
			// The waiters must be asleep before the clock is moved, or they find by
			// looking what they are to be woken by. Real time needs no such help.
			if r.h.Advance != nil {
				r.asleep(there, here)
			}
			r.lapse(r.a, key, request.Lease)
			r.is("a waiter in another process", there.returned("the end of the lease"), in(record, backend.Abandoned))
			r.is("a waiter in the same process", here.returned("the end of the lease"), in(record, backend.Abandoned))
		},
	},
	{
		Name:  "Wait/FollowsRenewals",
		Prose: "Wait doesn't return while the holder goes on renewing, though the lease that it saw first is over, and is woken by the commit then.",
		Mend:  "at the end of the lease that was seen, look again and go on sleeping.",
		run: func(r *rig) {
			for lease := 2 * r.lease; ; lease *= 2 {
				key, clock := r.key(), r.key()
				request := taking(r.token())
				request.Lease = lease
				start := time.Now()
				record := r.take(r.a, key, request)
				w := r.startWait(r.b, key, record.Token)
				if r.h.Advance != nil {
					r.asleep(w)
				}
				r.take(r.a, key, renewal(record, max(r.longest(), 4*lease)))
				if time.Since(start) >= lease && r.h.Advance == nil && lease < 100*r.lease {
					continue // too slow: the lease may have been over for a moment
				}
				// A claim made after it, with the same lease, is the clock.
				later := taking(r.token())
				later.Lease = lease
				r.take(r.a, clock, later)
				r.lapse(r.a, clock, lease)
				r.asleep(w)
				r.commit(r.a, key, completing(record.Token, []byte("answer")))
				r.is("the waiter", w.returned("the commit"), completed(record, "answer"))
				return
			}
		},
	},
	{
		Name:  "Wait/ManyWaitersAllWake",
		Prose: "All who wait for a key are woken by its commit, in every process, each with the record.",
		Mend:  "a wake-up is for everybody; look for a channel of which one waiter takes all there is.",
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			waits := make([]*waiting, 200)
			for i := range waits {
				waits[i] = r.startWait([]backend.Backend{r.a, r.b}[i%2], key, record.Token)
			}
			r.asleep(waits...)
			r.commit(r.a, key, completing(record.Token, []byte("answer")))
			for _, w := range waits {
				r.is("a waiter", w.returned("the commit"), completed(record, "answer"))
			}
		},
	},
	{
		Name:  "Wait/CommitBetweenLookAndSleep",
		Prose: "A commit that comes at any moment while Wait begins wakes it: it registers for wake-ups before it looks.",
		Mend:  "subscribe, have it confirmed, then look at the record, then sleep. In this order.",
		run: func(r *rig) {
			const rounds = 150
			for i := range rounds {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				w := r.startWait(r.b, key, record.Token)
				spin(i * i)
				r.commit(r.a, key, completing(record.Token, []byte("answer")))
				r.is("the waiter", w.returned("a commit that raced with it"), completed(record, "answer"))
			}
		},
	},
	{
		Name:  "Wait/WakesAgainAndAgain",
		Prose: "Those who wait for one holder after another are woken by each commit: a Wait that returned takes no later wake-up with it.",
		Mend:  "registering again for a key while the end of the last registration is under way.",
		run: func(r *rig) {
			key, seen := r.key(), uint64(0)
			for round := range 30 {
				record := r.take(r.a, key, takingSeen(r.token(), seen))
				seen = record.Fence
				var waits sync.WaitGroup
				failed := make(chan string, 8)
				for i := range 4 {
					w := r.startWait([]backend.Backend{r.a, r.b}[i%2], key, record.Token)
					if round%6 == 0 && i == 3 {
						r.asleep(w)
					}
					waits.Go(func() {
						if !w.ended() {
							failed <- "a waiter wasn't woken by the release"
						} else if w.err != nil {
							failed <- "a waiter got the error " + w.err.Error()
						}
					})
				}
				r.commit(r.b, key, ending(record.Token, backend.Release))
				waits.Wait()
				select {
				case why := <-failed:
					r.failf("%s", why)
				default:
				}
			}
		},
	},
}

// spin passes a time that differs from round to round, too short for a timer.
func spin(n int) {
	until := time.Now().Add(time.Duration(n%1500) * time.Microsecond)
	for time.Now().Before(until) && n > 0 {
		n--
	}
}
