package conformance

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// skipWithout skips the rule unless the harness has what it needs.
func (r *rig) skipWithout(has bool, field string) {
	r.Helper()
	if !has {
		r.Skipf("skipped: Harness.%s is nil", field)
	}
}

var faultRules = []Rule{
	{
		Name:     "Corrupt/RefusedByEveryVerb",
		Prose:    "What the store holds and the backend can't read is ErrCorrupt to every verb: never a record, never waited for, and never deleted or overwritten but by Forget.",
		Mend:     "check the frame before anything is made of it; an unreadable record isn't an unknown key.",
		ownStore: true,
		run: func(r *rig) {
			r.skipWithout(r.h.Corrupt != nil, "Corrupt")
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.h.Corrupt(r, key)
			for range 2 {
				for _, s := range []backend.Backend{r.a, r.b} {
					for _, v := range verbs(s) {
						for _, token := range []backend.Token{record.Token, r.token()} {
							if v.name == "Forget" {
								continue
							}
							ctx, cancel := context.WithTimeout(r.Context(), r.patience)
							err := v.call(ctx, s, key, token)
							cancel()
							if !errors.Is(err, backend.ErrCorrupt) {
								r.failf("%s of a corrupt record returned %v, want an error that is ErrCorrupt", v.name, err)
							}
						}
					}
				}
			}
		},
	},
	{
		Name:     "Corrupt/ForgetRemovesIt",
		Prose:    "Forget removes a record however broken it is, and the key is unknown then.",
		Mend:     "Forget must not read what it removes.",
		ownStore: true,
		run: func(r *rig) {
			r.skipWithout(r.h.Corrupt != nil, "Corrupt")
			key := r.key()
			r.take(r.a, key, taking(r.token()))
			r.h.Corrupt(r, key)
			r.forget(r.b, key)
			r.unknown("after Forget", key)
			r.take(r.a, key, taking(r.token()))
		},
	},
	{
		Name:     "Disconnect/WaitersLookAgain",
		Prose:    "When the connection that carries the wake-ups was lost, everybody who waits looks again: a commit made meanwhile is seen soon, long before the lease ends or ten seconds are over, and a later one wakes as ever.",
		Mend:     "a subscription that is made anew is a wake-up for all who wait by it.",
		ownStore: true,
		alone:    true,
		run: func(r *rig) {
			r.skipWithout(r.h.Disconnect != nil, "Disconnect")
			key, later := r.key(), r.key()
			record, kept := r.take(r.a, key, taking(r.token())), r.take(r.a, later, taking(r.token()))
			w, other := r.startWait(r.b, key, record.Token), r.startWait(r.b, later, kept.Token)
			r.asleep(w, other)
			r.h.Disconnect(r)
			r.insist("the commit", func(ctx context.Context) error {
				return r.a.Commit(ctx, key, completing(record.Token, []byte("answer")))
			})
			r.is("the waiter", w.returned("the commit"), completed(record, "answer"))
			r.insist("the commit", func(ctx context.Context) error {
				return r.a.Commit(ctx, later, completing(kept.Token, []byte("answer")))
			})
			r.is("the waiter", other.returned("the commit"), completed(kept, "answer"))
		},
	},
	{
		Name:     "Disconnect/VerbsGoOn",
		Prose:    "After its connections were cut a backend works again by itself: verbs may fail for a while, with errors, and never say that a key is unknown which isn't.",
		Mend:     "make connections anew; a transport failure is never \"absent\" or \"not acquired\".",
		ownStore: true,
		alone:    true,
		run: func(r *rig) {
			r.skipWithout(r.h.Disconnect != nil, "Disconnect")
			for range 5 {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				r.h.Disconnect(r)
				r.insist("Fetch", func(ctx context.Context) error {
					got, err := r.b.Fetch(ctx, key)
					if err == nil {
						r.is("the record after the cut", got, record)
					}
					return err
				})
				r.insist("the claim", func(ctx context.Context) error {
					got, err := r.a.Claim(ctx, key, taking(r.token()))
					if err == nil {
						r.is("the record after the cut", got, record)
					}
					return err
				})
				r.insist("the commit", func(ctx context.Context) error {
					return r.a.Commit(ctx, key, completing(record.Token, []byte("answer")))
				})
				r.stands("the record", key, completed(record, "answer"))
			}
		},
	},
	{
		Name:     "Silence/VerbsReturnWithinTheirCtx",
		Prose:    "On a store that answers nothing every verb returns soon after its ctx ends, by deadline and by cancel, with an error that is ctx.Err() and no record; when the store is back the backend works again.",
		Mend:     "a read that blocks must be given up when the ctx ends; a failure is never a record.",
		ownStore: true,
		alone:    true,
		run: func(r *rig) {
			r.skipWithout(r.h.Silence != nil, "Silence")
			key := r.key()
			r.take(r.a, key, taking(r.token()))
			restore := r.h.Silence(r)
			restored := false
			defer func() {
				if !restored {
					restore()
				}
			}()
			for _, cancelled := range []bool{false, true} {
				for _, v := range verbs(r.a) {
					ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
					if cancelled {
						cancel()
						ctx, cancel = context.WithCancel(r.Context())
					}
					done := make(chan error, 1)
					go func() { done <- v.call(ctx, r.a, key, r.token()) }()
					if cancelled {
						select {
						case err := <-done:
							r.failf("%s on a silent store returned %v before its ctx ended", v.name, err)
						case <-time.After(20 * time.Millisecond):
						}
						cancel()
					}
					timer := time.NewTimer(r.patience)
					select {
					case err := <-done:
						if !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
							r.failf("%s on a silent store returned %v; its ctx says %v", v.name, err, ctx.Err())
						}
					case <-timer.C:
						r.failf("%s on a silent store hadn't returned %v after its ctx ended", v.name, r.patience)
					}
					timer.Stop()
					cancel()
				}
			}
			restore()
			restored = true
			r.insist("Fetch", func(ctx context.Context) error { _, err := r.a.Fetch(ctx, key); return err })
		},
	},
	{
		Name:     "Silence/NotAppliedIsCertain",
		Prose:    "A claim or commit that a silent store gave no answer to isn't ErrNotApplied if the store applies it when it is back: nobody knows what became of what was sent.",
		Mend:     "ErrNotApplied is for requests of which nothing was sent, and for refusals that the store itself gave; a time-out after sending is neither.",
		ownStore: true,
		alone:    true,
		run: func(r *rig) {
			r.skipWithout(r.h.Silence != nil, "Silence")
			r.fetch(r.a, r.key()) // there is a connection that the requests go out on
			claimed, committed := r.key(), r.key()
			record := r.take(r.a, committed, taking(r.token()))
			send := func(call func(ctx context.Context) error) (notApplied bool) {
				ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
				defer cancel()
				return errors.Is(call(ctx), backend.ErrNotApplied)
			}
			restore := sync.OnceFunc(r.h.Silence(r))
			defer restore()
			noClaim := send(func(ctx context.Context) error {
				_, err := r.a.Claim(ctx, claimed, taking(r.token()))
				return err
			})
			noCommit := send(func(ctx context.Context) error {
				return r.a.Commit(ctx, committed, completing(record.Token, []byte("answer")))
			})
			restore()
			r.insist("Fetch", func(ctx context.Context) error { _, err := r.b.Fetch(ctx, claimed); return err })
			// What was sent is on its way: a wrong answer shows soon, a right one never.
			for range 20 {
				if got := r.fetch(r.b, claimed); noClaim && !got.Unknown() {
					r.failf("a claim that was ErrNotApplied was applied: %s", show(got))
				}
				if got := r.fetch(r.b, committed); noCommit && got.State != backend.Claimed {
					r.failf("a commit that was ErrNotApplied was applied: %s", show(got))
				}
				time.Sleep(5 * time.Millisecond)
			}
		},
	},
}

// insist repeats a verb that may fail for a while, as long as nobody knows or as
// it says that it wasn't applied.
func (r *rig) insist(what string, call func(context.Context) error) {
	r.Helper()
	deadline := time.Now().Add(4 * r.patience)
	for {
		ctx, cancel := context.WithTimeout(r.Context(), r.patience)
		err := call(ctx)
		cancel()
		if err == nil {
			return
		}
		for _, final := range []error{backend.ErrSuperseded, backend.ErrInvalid, backend.ErrCorrupt, backend.ErrClosed, backend.ErrPermanent, backend.ErrTooLarge} {
			if errors.Is(err, final) {
				r.failf("%s after a failure of the network returned %v", what, err)
			}
		}
		if time.Now().After(deadline) {
			r.failf("%s still returned %v, %v after the network was back", what, err, 4*r.patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
