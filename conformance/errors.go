package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var errorRules = []Rule{
	{
		Name:  "Errors/EndedCtx",
		Prose: "A verb that is called with a ctx that has ended returns an error that is ctx.Err(), not a record, and has no effect.",
		Mend:  "look at ctx.Err() before anything is sent; a store in memory must look as well.",
		run: func(r *rig) {
			cancelled, cancel := context.WithCancelCause(r.Context())
			cancel(errors.New("a cause that isn't ctx.Err()"))
			expired, cancel2 := context.WithDeadline(r.Context(), time.Now().Add(-time.Hour))
			defer cancel2()
			token := r.token()
			unknown, own, done := r.key(), r.key(), r.key()
			r.take(r.a, own, taking(token))
			r.take(r.a, done, taking(token))
			r.commit(r.a, done, ending(token, backend.Complete))
			for _, ctx := range []context.Context{cancelled, expired} {
				for _, key := range []string{unknown, own, done} {
					for _, v := range verbs(r.a) {
						r.unchanged(v.name+" with an ended ctx", key, func() {
							if err := v.call(ctx, r.a, key, token); !errors.Is(err, ctx.Err()) {
								r.failf("%s returned %v, want an error that is %v", v.name, err, ctx.Err())
							}
						})
					}
				}
			}
		},
	},
	{
		Name:  "Errors/CtxWithoutEnd",
		Prose: "Every verb works on a ctx that can't end.",
		Mend:  "ctx.Done() is nil for context.Background().",
		run: func(r *rig) {
			key, token := r.key(), r.token()
			for _, v := range []string{"Claim", "Commit (complete)", "Wait", "Fetch"} {
				for _, verb := range verbs(r.a) {
					if verb.name == v {
						// In a goroutine: a verb that hangs could never be ended.
						done := make(chan error, 1)
						go func() { done <- verb.call(context.Background(), r.a, key, token) }()
						timer := time.NewTimer(r.patience)
						select {
						case err := <-done:
							timer.Stop()
							if err != nil {
								r.failf("%s returned %v", v, err)
							}
						case <-timer.C:
							r.failf("%s hadn't returned after %v", v, r.patience)
						}
					}
				}
			}
			if record := r.fetch(r.b, key); record.State != backend.Completed {
				r.failf("after Claim, Commit and Wait the record is %s", show(record))
			}
		},
	},
	{
		Name:  "Errors/SupersededIsNoOther",
		Prose: "ErrSuperseded is certain: such an error is none of the package's others and no ctx's error.",
		Mend:  "wrap the one error that is meant.",
		run: func(r *rig) {
			key := r.key()
			r.take(r.a, key, taking(r.token()))
			ctx, cancel := r.ctx()
			defer cancel()
			err := r.b.Commit(ctx, key, ending(r.token(), backend.Complete))
			if !errors.Is(err, backend.ErrSuperseded) {
				r.failf("the commit of another's claim returned %v", err)
			}
			for _, other := range []error{
				backend.ErrTooLarge, backend.ErrInvalid, backend.ErrCorrupt, backend.ErrClosed, backend.ErrNotApplied,
				backend.ErrPermanent, context.Canceled, context.DeadlineExceeded,
			} {
				if errors.Is(err, other) {
					r.failf("the error %q is ErrSuperseded and %q", err, other)
				}
			}
		},
	},
	{
		Name:  "Errors/CtxEndsOnTheWay",
		Prose: "A verb whose ctx ends while it is under way returns soon after, and its error is ctx.Err() unless it had its answer.",
		Mend:  "every verb must return within its ctx; when it ended, wrap ctx.Err().",
		run: func(r *rig) {
			for i := range 40 {
				key, token := r.key(), r.token()
				for _, v := range verbs(r.a) {
					ctx, cancel := context.WithTimeout(r.Context(), time.Duration(i*i)*time.Microsecond)
					done := make(chan error, 1)
					go func() { done <- v.call(ctx, r.a, key, token) }()
					timer := time.NewTimer(r.patience)
					select {
					case err := <-done:
						if err != nil && !errors.Is(err, backend.ErrSuperseded) && !errors.Is(err, context.DeadlineExceeded) {
							r.failf("%s whose ctx ended while it was under way returned %v", v.name, err)
						}
					case <-timer.C:
						r.failf("%s hadn't returned %v after its ctx ran out", v.name, r.patience)
					}
					timer.Stop()
					cancel()
				}
			}
		},
	},
}
