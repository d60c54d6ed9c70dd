package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reprise-go/reprise/backend"
)

func (p *process) Fetch(ctx context.Context, key string) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		if p.is("errors are reported as absent") && !errors.Is(err, backend.ErrInvalid) && !errors.Is(err, backend.ErrClosed) {
			return backend.Record{}, nil
		}
		return backend.Record{}, err
	}
	p.mu.Lock()
	cached, ok := p.cache[key]
	p.mu.Unlock()
	if ok && p.is("fetch trusts its cache") {
		return cached, nil
	}
	s := p.reference
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = p.skew
	e := s.find(key)
	if e == nil && s.is("absent is an error") {
		return backend.Record{}, errors.New("reference: no such key")
	}
	if e == nil {
		return backend.Record{}, nil
	}
	if e.corrupt {
		return backend.Record{}, backend.ErrCorrupt
	}
	if s.is("fetch renews") {
		s.setLease(e, max(e.leaseEnd-s.clock.now(), 100*time.Millisecond))
	}
	r := s.show(e)
	r.Remaining = e.end - s.clock.now()
	if s.is("fetch and claim know no lapse") && r.State == backend.Abandoned && e.record.State == backend.Claimed {
		r.State = backend.Claimed
	}
	if s.is("a released key is unknown to Fetch") && r.State == backend.Vacant {
		return backend.Record{}, nil
	}
	p.mu.Lock()
	p.cache[key] = r
	p.mu.Unlock()
	return r, nil
}

func (p *process) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	if err := p.enter(ctx, key); err != nil {
		return backend.Record{}, err
	}
	if p.is("wait blocks the connection") {
		p.blocked.Lock()
		defer p.blocked.Unlock()
	}
	s := p.reference
	for first := true; ; first = false {
		s.mu.Lock()
		var woken chan struct{}
		register := func() {
			if woken = s.waiters[key]; woken == nil {
				woken = make(chan struct{})
				s.waiters[key] = woken
			}
		}
		if !s.is("wait looks, then registers") {
			register()
		}
		e := s.find(key)
		r := s.show(e)
		left := time.Duration(0)
		if e != nil {
			left = e.leaseEnd - s.clock.now()
			if e.corrupt && !s.is("a corrupt record is waited for") {
				s.mu.Unlock()
				return backend.Record{}, backend.ErrCorrupt
			}
		}
		if s.is("wait looks, then registers") {
			s.mu.Unlock()
			time.Sleep(time.Millisecond)
			s.mu.Lock()
			register()
		}
		s.mu.Unlock()
		held := e != nil && r.State == backend.Claimed && r.Token == token
		switch {
		case s.is("wait waits for any holder"):
			held = e != nil && r.State == backend.Claimed
		case s.is("wait polls until the key is completed"):
			held, left = e == nil || r.State != backend.Completed, time.Millisecond
			time.Sleep(left)
		case s.is("wait waits for unknown keys") && e == nil:
			held, left = true, time.Hour
		case s.is("wait sleeps before it looks") && first:
			held, left = true, time.Hour
		case s.is("wait returns at once"):
			held = false
		}
		if !held {
			if s.is("wait forgets the outcome") && !first {
				r.Outcome = nil
			}
			if s.is("wait takes the key away") {
				s.mu.Lock()
				delete(s.entries, s.storageKey(key))
				s.mu.Unlock()
			}
			return r, nil
		}
		if s.is("wait leaks") {
			go func() { <-p.closed }()
		}
		leaseOver, stop := s.clock.after(left)
		if s.is("wait sleeps past the lease") {
			leaseOver = nil
		}
		done, closed := ctx.Done(), (<-chan struct{})(p.closed)
		if s.is("wait ignores its ctx") {
			done = nil
		}
		if s.is("close wakes nobody") {
			closed = nil
		}
		select {
		case <-woken:
		case <-leaseOver:
			if s.is("wait trusts its timer") && s.clock.now() > 0 {
				stop()
				return r, nil
			}
		case <-closed:
			stop()
			return backend.Record{}, backend.ErrClosed
		case <-done:
			stop()
			if s.is("wait hides its ctx's error") {
				return backend.Record{}, errSilent
			}
			if s.is("a cancelled wait wakes the others") {
				s.mu.Lock()
				delete(s.waiters, key)
				s.mu.Unlock()
			}
			return backend.Record{}, fmt.Errorf("reference: %w", ctx.Err())
		}
		stop()
	}
}

func (p *process) Forget(ctx context.Context, key string) error {
	if err := p.enter(ctx, key); err != nil {
		return err
	}
	s := p.reference
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.is("forgetting an unknown key fails") && s.find(key) == nil {
		return errors.New("reference: no such key")
	}
	if e := s.find(key); e != nil && e.corrupt && s.is("a corrupt record can't be forgotten") {
		return backend.ErrCorrupt
	}
	if s.is("forget takes prefixes") {
		for k := range s.entries {
			if strings.HasPrefix(k, strings.TrimSuffix(key, "*")) {
				delete(s.entries, k)
			}
		}
	}
	if e := s.find(key); e != nil && s.is("forget keeps a trace") {
		e.record.State = backend.Vacant
	} else {
		delete(s.entries, s.storageKey(key))
	}
	if !s.is("forget wakes nobody") {
		s.wake(key)
	}
	return nil
}

func (p *process) Close() error {
	if p.is("a second close hangs") {
		p.blocked.Lock()
	}
	p.closing.Do(func() { close(p.closed) })
	return nil
}
