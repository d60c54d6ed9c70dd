package redigo

import (
	"sync"
	"time"
)

// workers are goroutines that run calls, one at a time, and are used again: a
// goroutine per command would cost more time and four allocations.
type workers struct {
	mu     sync.Mutex
	idle   []*worker // the last one was used last
	unused int       // the fewest that were idle since the last reaping
	reaper *time.Timer
	armed  bool
	closed bool
}

type worker struct{ calls chan *call }

// reapInterval is how long a worker stays idle, at least; twice as long at most.
const reapInterval = 25 * time.Millisecond

// take returns a worker for one call.
func (p *workers) take() *worker {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.unused = min(p.unused, n-1)
		p.mu.Unlock()
		return w
	}
	p.mu.Unlock()
	w := &worker{calls: make(chan *call, 1)}
	go p.work(w)
	return w
}

// put takes a worker back whose call is finished.
func (p *workers) put(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		close(w.calls)
		return
	}
	p.idle = append(p.idle, w)
	if p.armed {
		return
	}
	p.armed = true
	if p.reaper == nil {
		p.reaper = time.AfterFunc(reapInterval, p.reap)
	} else {
		p.reaper.Reset(reapInterval)
	}
}

func (p *workers) work(w *worker) {
	for c := range w.calls {
		if !c.serve() {
			p.put(w)
		}
	}
}

// reap ends the workers that were not used since the last time.
func (p *workers) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for _, w := range p.idle[:p.unused] {
		close(w.calls)
	}
	n := copy(p.idle, p.idle[p.unused:])
	clear(p.idle[n:])
	p.idle = p.idle[:n]
	p.unused = n
	if p.armed = n > 0; p.armed {
		p.reaper.Reset(reapInterval)
	}
}

// close ends the workers, those that are busy when they have finished.
func (p *workers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.idle {
		close(w.calls)
	}
	p.idle, p.unused = nil, 0
	if p.reaper != nil {
		p.reaper.Stop()
	}
}
