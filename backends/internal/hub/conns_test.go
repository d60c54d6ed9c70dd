package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// end closes the hub and lets the network's goroutines end.
func end(h *Hub) {
	h.Close()
	time.Sleep(time.Second)
}

// left counts what the Subscriber keeps.
func left(h *Hub) int {
	c := h.sub.(*Conns)
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.links) + len(c.where)
}

func TestConnectionOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		defer end(h)
		time.Sleep(time.Hour)
		if n.dials.Load() != 0 {
			t.Error("connected before anybody waits")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waits []chan result
		for i := range 100 {
			s.claim(fmt.Sprint(i), tokenA, time.Hour)
			waits = append(waits, waitFor(ctx, h, fmt.Sprint(i), tokenA))
		}
		time.Sleep(time.Second)
		if conns, subscriptions := n.state(); conns != 1 || subscriptions != 100 {
			t.Errorf("%d connections with %d subscriptions", conns, subscriptions)
		}
		if looks, _ := s.counts(); looks != 100 {
			t.Errorf("%d looks", looks)
		}
		cancel()
		for _, w := range waits {
			<-w
		}
		time.Sleep(time.Second)
		if conns, subscriptions := n.state(); conns != 1 || subscriptions != 0 {
			t.Errorf("%d connections with %d subscriptions after everybody has gone", conns, subscriptions)
		}
		time.Sleep(10 * time.Second)
		if conns, _ := n.state(); conns != 0 {
			t.Errorf("%d connections after a while", conns)
		}
		if left(h) != 0 {
			t.Error("links or channels are left")
		}
	})
}

func TestMessagesReachWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		defer end(h)
		for i := range 100 {
			channel := fmt.Sprint(i % 3) // the same channels again and again
			s.claim(channel, tokenA, time.Hour)
			w := wait(h, channel, tokenA)
			time.Sleep(time.Duration(rand.N(8)) * time.Millisecond)
			s.complete(channel, tokenA, false, false)
			n.publish(channel, "")
			begin := time.Now()
			if r := <-w; r.err != nil || r.record.State != backend.Completed || time.Since(begin) > 50*time.Millisecond {
				t.Fatal(i, r, time.Since(begin))
			}
		}
		if n.dials.Load() != 1 {
			t.Errorf("%d connections", n.dials.Load())
		}
	})
}

func TestLostConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		defer end(h)
		s.claim("missed", tokenA, time.Hour)
		s.claim("later", tokenA, time.Hour)
		missed, later := wait(h, "missed", tokenA), wait(h, "later", tokenA)
		time.Sleep(time.Second)
		s.complete("missed", tokenA, false, false)
		n.cut()
		begin := time.Now()
		if r := <-missed; r.err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Error(r, time.Since(begin))
		}
		time.Sleep(time.Second)
		if _, subscriptions := n.state(); subscriptions != 1 {
			t.Errorf("%d subscriptions after the loss", subscriptions)
		}
		s.complete("later", tokenA, false, false)
		n.publish("later", "")
		begin = time.Now()
		if r := <-later; r.err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Error(r, time.Since(begin))
		}
	})
}

func TestSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		defer end(h)
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		time.Sleep(time.Minute)
		if n.dials.Load() != 1 {
			t.Errorf("an idle connection was opened %d times", n.dials.Load())
		}
		n.mu.Lock()
		n.silent = true
		n.mu.Unlock()
		time.Sleep(10 * time.Second)
		n.mu.Lock()
		if n.dials.Load() < 2 || n.most > 1 {
			t.Errorf("%d connections, at most %d at once", n.dials.Load(), n.most)
		}
		n.silent = false
		n.mu.Unlock()
		time.Sleep(20 * time.Second)
		s.complete("k", tokenA, false, false)
		n.publish("k", "")
		begin := time.Now()
		if r := <-w; r.err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Error(r, time.Since(begin))
		}
	})
}

func TestRefusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		n.refuse = errors.New("no permission")
		h := n.open(s, nil)
		defer end(h)
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		time.Sleep(time.Minute)
		if n.dials.Load() > 30 {
			t.Errorf("%d dials in a minute", n.dials.Load())
		}
		s.complete("k", tokenA, false, false)
		begin := time.Now()
		if r := <-w; r.err != nil || time.Since(begin) > poll {
			t.Error(r, time.Since(begin))
		}
		time.Sleep(time.Minute)
		if left(h) != 0 {
			t.Error("it goes on dialling for nobody")
		}
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		n.routes = map[string]string{"a": "1", "b": "2", "c": "2"}
		stale := ""
		h := n.open(s, func(_ context.Context, channel string) (string, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if channel == stale {
				return "1", nil
			}
			if channel == "unroutable" {
				return "", errors.New("no such slot")
			}
			return n.routes[channel], nil
		})
		defer end(h)
		waits := map[string]chan result{}
		for _, channel := range []string{"a", "b", "c", "unroutable"} {
			s.claim(channel, tokenA, time.Hour)
			waits[channel] = wait(h, channel, tokenA)
		}
		time.Sleep(time.Second)
		if conns, subscriptions := n.state(); conns != 2 || subscriptions != 3 {
			t.Errorf("%d connections with %d subscriptions", conns, subscriptions)
		}
		n.move("a", "3")
		time.Sleep(time.Second)
		if _, subscriptions := n.state(); subscriptions != 3 {
			t.Errorf("%d subscriptions after a slot has moved", subscriptions)
		}
		// A client that doesn't know the new node yet is sent away by the old one.
		stale = "b"
		n.move("b", "3")
		time.Sleep(time.Second)
		n.mu.Lock()
		stale = ""
		n.mu.Unlock()
		time.Sleep(10 * time.Second)
		if _, subscriptions := n.state(); subscriptions != 3 {
			t.Errorf("%d subscriptions after the client was sent away", subscriptions)
		}
		for channel, w := range waits {
			s.complete(channel, tokenA, false, false)
			n.publish(channel, "")
			begin := time.Now()
			if r := <-w; r.err != nil || time.Since(begin) > poll {
				t.Error(channel, r, time.Since(begin))
			}
		}
		time.Sleep(time.Minute)
		if left(h) != 0 {
			t.Error("links or channels are left")
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		s.claim("k", tokenA, time.Hour)
		w := wait(h, "k", tokenA)
		time.Sleep(time.Second)
		h.Close()
		if r := <-w; !errors.Is(r.err, backend.ErrClosed) {
			t.Error(r)
		}
		time.Sleep(time.Second)
		if conns, _ := n.state(); conns != 0 {
			t.Errorf("%d connections are open", conns)
		}
	})
}

// Nothing is lost or left whatever the order of joins, leaves and losses.
func TestChurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, n := newStore(), newNetwork()
		h := n.open(s, nil)
		defer end(h)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				channel := fmt.Sprint(i % 4)
				for range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.N(6_000))*time.Microsecond)
					s.claim(channel, tokenA, time.Hour)
					_, _ = h.Wait(ctx, channel, tokenA)
					cancel()
				}
			})
		}
		for range 20 {
			time.Sleep(30 * time.Millisecond)
			n.cut()
		}
		group.Wait()
		s.claim("0", tokenA, time.Hour)
		w := wait(h, "0", tokenA)
		time.Sleep(10 * time.Second)
		if _, subscriptions := n.state(); subscriptions != 1 {
			t.Errorf("%d subscriptions", subscriptions)
		}
		s.complete("0", tokenA, false, false)
		n.publish("0", "")
		begin := time.Now()
		if r := <-w; r.err != nil || time.Since(begin) > 10*time.Millisecond {
			t.Error(r, time.Since(begin))
		}
		time.Sleep(time.Minute)
		if open, _ := n.state(); open != 0 || left(h) != 0 {
			t.Errorf("%d connections, or links or channels, are left", open)
		}
	})
}
