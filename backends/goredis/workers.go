package goredis

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// go-redis doesn't watch the ctx while it reads a reply, so a verb whose ctx can
// end hands its commands to a worker and leaves when the ctx ends. The workers
// are reused: a goroutine per command would cost four allocations and as much
// time as the rest of the verb.
type workers struct {
	mu     sync.Mutex
	idle   []*worker // the last one was used last
	unused int       // the fewest that were idle since the last reaping
	reaper *time.Timer
	armed  bool
	closed bool
}

// reapInterval is how long a worker stays idle, at least; twice as long at most.
const reapInterval = 50 * time.Millisecond

// task is something that a worker does. After do has told that it was not
// finished, the task belongs to the worker.
type task interface{ run() }

type worker struct {
	tasks chan task
	done  chan struct{}
	state atomic.Int32
}

// States of a worker that was given a task.
const (
	running int32 = iota
	finished
	abandoned // nobody waits for it any more
)

func newWorkers() *workers { return new(workers) }

// do runs the task and tells whether it was finished when ctx ended.
func (p *workers) do(ctx context.Context, t task) bool {
	if ctx.Done() == nil {
		t.run()
		return true
	}
	w := p.take()
	w.state.Store(running)
	w.tasks <- t
	select {
	case <-w.done:
	case <-ctx.Done():
		if w.state.CompareAndSwap(running, abandoned) {
			return false
		}
		<-w.done
	}
	p.put(w)
	return true
}

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
	w := &worker{tasks: make(chan task, 1), done: make(chan struct{}, 1)}
	go p.work(w)
	return w
}

func (p *workers) put(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		close(w.tasks)
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
	for t := range w.tasks {
		t.run()
		if w.state.CompareAndSwap(running, finished) {
			w.done <- struct{}{}
		} else {
			p.put(w)
		}
	}
}

// reap ends the workers that were not used since the last time.
func (p *workers) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.idle[:p.unused] {
		close(w.tasks)
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
		close(w.tasks)
	}
	p.idle, p.unused = nil, 0
	if p.reaper != nil {
		p.reaper.Stop()
	}
}
