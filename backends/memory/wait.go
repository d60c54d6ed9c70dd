package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// watch is what everybody waits on who waits for the same holder. It is hung on
// the holder's record by the first and taken off by the last, or by what wakes
// them.
type watch struct {
	waiting int           // guarded by the shard's lock
	woken   chan struct{} // closed by whoever takes the watch off its record
	// These two are set before woken is closed.
	again bool // look again: the lease was shortened, or the store closed
	found view // otherwise: what the key was when it wasn't held any more
}

// Wait returns once the key isn't held by token under a live lease, with what it
// was then: at once for the zero token, for an unknown key, and where another
// holds the key. A commit, a takeover and Forget wake it with what they made of
// the key, the end of the lease by a timer.
//
// Its errors are those of Fetch, and that of a ctx that ends while it waits.
func (b *Backend) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	if err := ctx.Err(); err != nil {
		return backend.Record{}, notApplied("wait", err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Record{}, err
	}
	hash, s := b.locate(key)
	s.mu.Lock()
	for {
		if s.closed {
			s.mu.Unlock()
			return backend.Record{}, errClosed
		}
		now := b.now()
		r := s.find(hash, key, now)
		if r == nil || token.IsZero() || r.token != token || !r.live(now) {
			v := r.look(now)
			s.mu.Unlock()
			return v.record(), nil
		}
		// Under one lock: looking and registering here, and below taking oneself
		// off and looking again. Nothing can happen in between unseen.
		w, left := r.join(), time.Duration(r.leaseEnd-now)
		s.mu.Unlock()
		err := w.sleep(ctx, min(left, backend.MaxSleep))
		s.mu.Lock()
		woken := r.leave(w)
		if woken && !w.again {
			s.mu.Unlock()
			return w.found.record(), nil
		}
		if err != nil {
			s.mu.Unlock()
			return backend.Record{}, fmt.Errorf("memory: wait: %w", err)
		}
	}
}

// sleep returns when it was woken or the time is over, and with the ctx's error
// when that has ended.
func (w *watch) sleep(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-w.woken:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join registers one who waits for the record's holder.
func (r *record) join() *watch {
	if r.watch == nil {
		r.watch = &watch{woken: make(chan struct{})}
	}
	r.watch.waiting++
	return r.watch
}

// leave ends a join, and tells whether the watch was woken.
func (r *record) leave(w *watch) (woken bool) {
	w.waiting--
	if r.watch != w {
		return true
	}
	if w.waiting == 0 {
		r.watch = nil
	}
	return false
}

// wake lets everybody who waits for the record's holder return what was found.
// The caller holds the shard's lock.
func (r *record) wake(found view) {
	if w := r.watch; w != nil {
		w.found = found
		r.unwatch()
	}
}

// wakeToLook lets them look again.
func (r *record) wakeToLook() {
	if w := r.watch; w != nil {
		w.again = true
		r.unwatch()
	}
}

func (r *record) unwatch() {
	close(r.watch.woken)
	r.watch = nil
}
