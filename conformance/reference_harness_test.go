package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// harness is one of the reference with a bug; the empty bug is the right one.
func harness(bug string, real bool) Harness {
	c := newClock(real)
	var mu sync.Mutex
	var stores []*reference
	each := func(do func(s *reference)) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range stores {
			s.mu.Lock()
			do(s)
			s.mu.Unlock()
		}
	}
	h := Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			open := make(chan struct{})
			close(open)
			s := &reference{
				clock: c, bug: bug, entries: map[string]*entry{}, waiters: map[string]chan struct{}{},
				silenced: open, fences: map[uint64]backend.Token{},
			}
			mu.Lock()
			stores = append(stores, s)
			mu.Unlock()
			return func() backend.Backend {
				p := s.connect()
				tb.Cleanup(func() { p.closing.Do(func() { close(p.closed) }) })
				return p
			}
		},
		Lease: 40 * time.Millisecond,
		Corrupt: func(tb testing.TB, key string) {
			each(func(s *reference) {
				if e := s.find(key); e != nil {
					e.corrupt = true
				}
			})
		},
		Disconnect: func(tb testing.TB) {
			each(func(s *reference) {
				s.failing = 2
				for key, ch := range s.waiters {
					delete(s.waiters, key)
					if !s.is("a lost subscription wakes nobody") {
						close(ch)
					}
				}
			})
		},
		Silence: func(tb testing.TB) func() {
			gate := make(chan struct{})
			each(func(s *reference) { s.silenced = gate })
			return func() { close(gate) }
		},
	}
	if !real {
		h.Advance = c.advance
	}
	return h
}
