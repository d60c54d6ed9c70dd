package linearizability

import (
	"context"
	"sync"
	"time"
)

// forever is later than every moment of a run, and far enough from the end of
// the type that durations can be added to it.
const forever = time.Duration(1 << 61)

// clock is the one that leases end by. It is read as an interval: while the
// test moves the store's clock, nobody can tell how far it has come.
type clock struct {
	start   time.Time
	advance func(time.Duration) // nil: the clock is time.Now's

	mu             sync.Mutex
	begun, arrived time.Duration // of all that advance was asked for
	moved          chan struct{} // closed by the next move
}

// newClock makes the clock of a store that advance moves, or that follows real
// time where advance is nil. An advance that sleeps moves time.Now as far as the
// store: then time passes by itself.
func newClock(advance func(time.Duration)) *clock {
	c := &clock{start: time.Now(), advance: advance, moved: make(chan struct{})}
	if advance != nil {
		const probe = 20 * time.Millisecond
		advance(probe)
		if time.Since(c.start) >= probe {
			c.advance = nil
		}
	}
	return c
}

// before is a moment that isn't later than what the store does next.
func (c *clock) before() time.Duration {
	if c.advance == nil {
		return time.Since(c.start)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived
}

// after is a moment that isn't earlier than what the store has done so far.
func (c *clock) after() time.Duration {
	if c.advance == nil {
		return time.Since(c.start)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun
}

// move lets d of the store's time go by. It is called by one goroutine.
func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	c.begun += d
	c.mu.Unlock()
	c.advance(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived = c.begun
	close(c.moved)
	c.moved = make(chan struct{})
}

// sleep returns when d of the store's time has gone by, or with the ctx.
func (c *clock) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	if c.advance == nil {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
	for until := c.before() + d; ; {
		c.mu.Lock()
		arrived, moved := c.arrived, c.moved
		c.mu.Unlock()
		if arrived >= until {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}
