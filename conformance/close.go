package conformance

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// close closes the backend, or skips the rule where it can't be closed.
func (r *rig) close(s backend.Backend) {
	r.Helper()
	closer, ok := s.(io.Closer)
	if !ok {
		r.Skipf("skipped: %T is no io.Closer", s)
	}
	if err, ok := r.closed(closer); !ok {
		r.failf("Close hadn't returned after %v", r.patience)
	} else if err != nil && !errors.Is(err, backend.ErrClosed) {
		r.failf("Close returned %v", err)
	}
}

// closed calls Close and reports false if it doesn't return.
func (r *rig) closed(closer io.Closer) (err error, ok bool) {
	done := make(chan error, 1)
	go func() { done <- closer.Close() }()
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err, true
	case <-timer.C:
		return nil, false
	}
}

var closeRules = []Rule{
	{
		Name:     "Close/WakesWaiters",
		Prose:    "Close wakes everybody who waits through that backend with ErrClosed.",
		Mend:     "Close must end every Wait, those that are about to sleep too.",
		ownStore: true,
		run: func(r *rig) {
			var waits []*waiting
			for range 8 {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				waits = append(waits, r.startWait(r.b, key, record.Token), r.startWait(r.b, key, record.Token))
			}
			r.asleep(waits...)
			r.close(r.b)
			for _, w := range waits {
				if !w.ended() {
					r.failf("Wait hadn't returned %v after Close", r.patience)
				}
				if !errors.Is(w.err, backend.ErrClosed) {
					r.failf("Close woke a waiter with %s, %v, want an error that is ErrClosed", show(w.record), w.err)
				}
			}
		},
	},
	{
		Name:     "Close/VerbsAreRefused",
		Prose:    "Every verb of a closed backend returns ErrClosed, and has no effect.",
		Mend:     "look whether the backend is closed before anything is sent.",
		ownStore: true,
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			r.close(r.b)
			for _, v := range verbs(r.b) {
				ctx, cancel := r.ctx()
				err := v.call(ctx, r.b, key, record.Token)
				cancel()
				if !errors.Is(err, backend.ErrClosed) {
					r.failf("%s of a closed backend returned %v, want an error that is ErrClosed", v.name, err)
				}
			}
			ctx, cancel := r.ctx()
			defer cancel()
			// Where both connections are one backend, nobody is left to ask.
			if after, err := r.a.Fetch(ctx, key); !errors.Is(err, backend.ErrClosed) {
				if err != nil {
					r.failf("when another backend on its store was closed, Fetch returned %v", err)
				}
				r.is("the record after the refused verbs", after, record)
			}
		},
	},
	{
		Name:     "Close/MayBeRepeated",
		Prose:    "Close may be called again, and by many at once, without a panic; each call returns.",
		Mend:     "close what is closed once.",
		ownStore: true,
		run: func(r *rig) {
			closer, ok := r.b.(io.Closer)
			if !ok {
				r.Skipf("skipped: %T is no io.Closer", r.b)
			}
			r.together(8, func(context.Context, int, backend.Backend) {
				if _, ok := r.closed(closer); !ok {
					r.errorf("one of many Closes at once hadn't returned after %v", r.patience)
				}
			})
			r.close(r.b)
		},
	},
	{
		Name:     "Close/WhileInUse",
		Prose:    "Close may be called while verbs are under way: each returns, and a Wait that begins at that moment doesn't hang.",
		Mend:     "register a Wait and look whether the backend is closed in one step.",
		ownStore: true,
		run: func(r *rig) {
			key := r.key()
			record := r.take(r.a, key, taking(r.token()))
			var waits []*waiting
			for i := range 40 {
				waits = append(waits, r.startWait(r.b, key, record.Token))
				if i == 20 {
					r.asleep(waits...)
				}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx, cancel := r.ctx(); ; {
					record, err := r.b.Claim(ctx, r.key(), taking(r.token()))
					if err == nil && record.State == backend.Claimed {
						continue
					}
					cancel()
					return
				}
			}()
			r.close(r.b)
			for _, w := range waits {
				if !w.ended() {
					r.failf("a Wait that began about when Close was called hadn't returned %v later", r.patience)
				}
				if !errors.Is(w.err, backend.ErrClosed) {
					r.failf("Wait returned %s, %v when the backend was closed", show(w.record), w.err)
				}
			}
			timer := time.NewTimer(r.patience)
			defer timer.Stop()
			select {
			case <-done:
			case <-timer.C:
				r.failf("claims went on %v after Close", r.patience)
			}
		},
	},
}
