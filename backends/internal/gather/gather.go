// Package gather lets calls that have something to send at the same time send it
// together, as one pipeline: one write and one read for all of them on either side,
// instead of one each, which under load is most of what a command costs.
//
// Nobody waits for company. What is added first starts a goroutine, which lets
// everything else that is ready to run go first, and then takes what was added by
// then. A machine that has time to spare finds one; the busier it is, the more.
package gather

import (
	"runtime"
	"sync"
	"time"
)

// Most is how many are sent together at most: they are answered together, and the
// first reply waits for the last.
const Most = 64

// Crowd is how many calls must be under way for gathering to pay: as long as the
// processors keep up with them, a goroutine for what is sent is only a detour.
// Short is for what the server is done with in no time; otherwise those who travel
// together idle while the server works, and it idles while they do, so that it takes
// more of them.
func Crowd(short bool) int64 {
	if short {
		return 4 * int64(runtime.GOMAXPROCS(0))
	}
	return 16 * int64(runtime.GOMAXPROCS(0))
}

// Patience is for how long after it was found that their callers are still there
// commands are sent without another look: to give up a batch because one of its
// callers leaves at that moment would cost all others more. A connection that has to
// be made takes longer.
const Patience = 10 * time.Millisecond

// Gatherer gathers what is to be sent. It is safe for concurrent use.
type Gatherer[T any] struct {
	send func(together []T)

	mu      sync.Mutex
	waiting []T
	started bool // a goroutine will take what is waiting
	last    int  // how many were taken the last time
}

// New returns a gatherer for send, which gets at least one and at most [Most], in
// the order in which they were added, on a goroutine of its own. It may run several
// times at once.
func New[T any](send func(together []T)) *Gatherer[T] { return &Gatherer[T]{send: send} }

// Add adds something to be sent soon.
func (g *Gatherer[T]) Add(t T) {
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = make([]T, 0, max(g.last, 4))
	}
	g.waiting = append(g.waiting, t)
	start := !g.started
	g.started = true
	g.mu.Unlock()
	if start {
		go g.run()
	}
}

func (g *Gatherer[T]) run() {
	runtime.Gosched()
	g.mu.Lock()
	together := g.waiting
	g.waiting, g.started, g.last = nil, false, len(together)
	g.mu.Unlock()
	for len(together) > Most {
		some := together[:Most:Most]
		together = together[Most:]
		go g.send(some)
	}
	g.send(together)
}
