package redigo

import (
	"sync"
	"time"
)

// gate counts the goroutines that ask the pool for a connection. The application
// may close the pool once Close has returned, and a pool that is closed while a
// goroutine is giving up waiting for a connection panics in redigo 1.9 (a send on a
// closed channel): so Close waits for them. Their verbs have returned because
// their ctx ended, so they are on their way out, unless they dial.
type gate struct {
	mu     sync.Mutex
	inside int
	empty  chan struct{} // closed when nobody is inside; nil while nobody asks
}

// closePatience is how long Close waits for goroutines that may be stuck in a
// dial; those don't touch what the pool's Close closes.
const closePatience = 250 * time.Millisecond

func (g *gate) enter() {
	g.mu.Lock()
	g.inside++
	g.mu.Unlock()
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

func (g *gate) wait(patience time.Duration) {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
	}
}
