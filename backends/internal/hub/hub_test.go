package hub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

var (
	tokenA = backend.Token{1}
	tokenB = backend.Token{2}
)

func TestWaitReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		s.claim("taken", tokenB, time.Hour)
		begin := time.Now()
		for _, channel := range []string{"unknown", "taken"} {
			if r := <-wait(h, channel, tokenA); r.err != nil {
				t.Error(r.err)
			}
		}
		if r := <-wait(h, "taken", backend.Token{}); r.err != nil || r.record.State != backend.Claimed {
			t.Error(r)
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("took %v", took)
		}
		s.empty(t)
	})
}

func TestManyWaitersOneLook(t *testing.T) {
	for _, carry := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore()
			h := s.open()
			defer h.Close()
			s.claim("k", tokenA, time.Minute)
			var waits []chan result
			for range 1000 {
				waits = append(waits, wait(h, "k", tokenA))
				if len(waits) == 500 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			if looks, subscribes := s.counts(); looks > 2 || subscribes != 1 {
				t.Errorf("%d looks and %d subscriptions before the commit", looks, subscribes)
			}
			before, _ := s.counts()
			s.complete("k", tokenA, true, carry)
			for _, w := range waits {
				r := <-w
				if r.err != nil || r.record.State != backend.Completed || string(r.record.Outcome) != "outcome" {
					t.Fatal(r)
				}
				r.record.Outcome[0] = 'X' // each has a copy of its own
			}
			after, _ := s.counts()
			if want := 1; carry && after != before || !carry && after-before != want {
				t.Errorf("carry %v: %d looks after the commit", carry, after-before)
			}
			s.empty(t)
		})
	}
}

func TestCommitBeforeTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.deaf = true
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		synctest.Wait()
		if looks, _ := s.counts(); looks != 0 {
			t.Errorf("looked before the subscription")
		}
		s.complete("k", tokenA, false, false)
		begin := time.Now()
		h.Confirmed("k")
		if r := <-w; r.err != nil || r.record.State != backend.Completed || time.Since(begin) != 0 {
			t.Error(r, time.Since(begin))
		}
		s.empty(t)
	})
}

func TestWithoutSubscriptionItPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.deaf = true
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		time.Sleep(10 * time.Second)
		s.complete("k", tokenA, false, false)
		begin := time.Now()
		if r := <-w; r.err != nil || r.record.State != backend.Completed || time.Since(begin) > poll {
			t.Error(r, time.Since(begin))
		}
		s.empty(t)
	})
}

func TestLostMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		time.Sleep(time.Second)
		s.complete("k", tokenA, false, false)
		begin := time.Now()
		if r := <-w; r.err != nil || r.record.State != backend.Completed || time.Since(begin) > backend.MaxSleep {
			t.Error(r, time.Since(begin))
		}
	})
}

func TestLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, 2*time.Second)
		begin := time.Now()
		if r := <-wait(h, "k", tokenA); r.err != nil || r.record.State != backend.Abandoned {
			t.Error(r)
		}
		if took := time.Since(begin); took < 2*time.Second || took > 2100*time.Millisecond {
			t.Errorf("woke after %v", took)
		}
		s.empty(t)
	})
}

func TestDroppedAndConfirmedWakeEverybody(t *testing.T) {
	for name, event := range map[string]func(h *Hub, channel string){"dropped": (*Hub).Dropped, "confirmed": (*Hub).Confirmed} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore()
				h := s.open()
				defer h.Close()
				var waits []chan result
				for i := range 10 {
					s.claim(fmt.Sprint(i), tokenA, time.Hour)
					waits = append(waits, wait(h, fmt.Sprint(i), tokenA))
				}
				synctest.Wait()
				begin := time.Now()
				for i := range 10 {
					s.complete(fmt.Sprint(i), tokenA, false, false)
					event(h, fmt.Sprint(i))
				}
				for _, w := range waits {
					if r := <-w; r.err != nil || r.record.State != backend.Completed {
						t.Error(r)
					}
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// A renewed lease, and messages that mean nothing, keep the waiters waiting.
func TestSpuriousMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, time.Second)
		w := wait(h, "k", tokenA)
		synctest.Wait()
		other := wire.AppendCommit(nil, &backend.CommitRequest{Token: tokenB, Ending: backend.Complete})
		for _, message := range []string{"", "junk", string(other), string(other[:20])} {
			h.Message("k", message)
			h.Message("nobody waits here", message)
		}
		for range 50 {
			time.Sleep(500 * time.Millisecond)
			s.claim("k", tokenA, time.Second)
		}
		select {
		case r := <-w:
			t.Fatal(r)
		default:
		}
		s.complete("k", tokenA, true, true)
		if r := <-w; r.err != nil || r.record.State != backend.Completed {
			t.Error(r)
		}
	})
}

func TestTokensOfOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		s.claim("k", tokenA, time.Hour)
		a := wait(h, "k", tokenA)
		synctest.Wait()
		b := wait(h, "k", tokenB)
		if r := <-b; r.err != nil || r.record.Token != tokenA || r.record.State != backend.Claimed || r.record.LeaseLeft <= 0 {
			t.Error(r)
		}
		s.claim("k", tokenB, time.Hour)
		h.Message("k", "")
		if r := <-a; r.err != nil || r.record.Token != tokenB {
			t.Error(r)
		}
		s.empty(t)
	})
}

// A look that began before a waiter came says nothing of the time since.
func TestLookUnderWayDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.delay = time.Second
		h := s.open()
		defer h.Close()
		a := wait(h, "k", tokenA) // its look finds an unknown key
		time.Sleep(500 * time.Millisecond)
		b := wait(h, "k", tokenA)
		<-a
		synctest.Wait()
		select {
		case r := <-b:
			t.Fatal("answered by a look that began before it came", r)
		default:
		}
		if r := <-b; r.err != nil {
			t.Error(r)
		}
		s.empty(t)
	})
}

func TestCancelLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		defer h.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var waits []chan result
		for i := range 100 {
			channel := fmt.Sprint(i % 10)
			s.claim(channel, tokenA, time.Hour)
			waits = append(waits, waitFor(ctx, h, channel, tokenA))
		}
		synctest.Wait()
		cancel()
		for _, w := range waits {
			if r := <-w; !errors.Is(r.err, context.Canceled) {
				t.Error(r)
			}
		}
		s.empty(t)
		if _, err := h.Wait(ctx, "k", tokenA); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, subscribes := s.counts(); subscribes != 10 {
			t.Errorf("%d subscriptions", subscribes)
		}
	})
}

func TestSilentLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.delay = time.Hour
		h := s.open()
		defer h.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if r := <-waitFor(ctx, h, "k", tokenA); !errors.Is(r.err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Error(r, time.Since(begin))
		}
		s.empty(t)
	})
}

func TestFailedLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		s.err = errors.New("no server")
		h := s.open()
		defer h.Close()
		if r := <-wait(h, "k", tokenA); !errors.Is(r.err, s.err) {
			t.Error(r)
		}
		s.empty(t)
	})
}

func TestCloseWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore()
		h := s.open()
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		synctest.Wait()
		h.Close()
		h.Close()
		if r := <-w; !errors.Is(r.err, backend.ErrClosed) {
			t.Error(r)
		}
		if _, err := h.Wait(t.Context(), "k", tokenA); !errors.Is(err, backend.ErrClosed) {
			t.Error(err)
		}
		if !s.closed {
			t.Error("the subscriber is open")
		}
		s.empty(t)
	})
}
