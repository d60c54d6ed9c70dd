package conformance

import (
	"sync"
	"time"
)

// clock is the reference store's: moved by Advance, or real.
type clock struct {
	mu      sync.Mutex
	real    bool
	start   time.Time
	passed  time.Duration
	changed chan struct{}
}

func newClock(real bool) *clock {
	return &clock{real: real, start: time.Now(), changed: make(chan struct{})}
}

func (c *clock) now() time.Duration {
	if c.real {
		return time.Since(c.start)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
	close(c.changed)
	c.changed = make(chan struct{})
}

// after is closed d from now, or earlier.
func (c *clock) after(d time.Duration) (<-chan struct{}, func()) {
	if c.real {
		done := make(chan struct{})
		timer := time.AfterFunc(d, func() { close(done) })
		return done, func() { timer.Stop() }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed, func() {}
}
