// Package workers runs tasks in goroutines that are used again, for callers who
// leave when their ctx ends although the client under them doesn't watch it. A
// goroutine per command would cost four allocations and as much time as the rest
// of a verb.
package workers

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is a pool of workers; its zero value has none yet. It grows with the tasks
// that run at once, and workers that nobody needs end by themselves.
type Pool struct {
	mu     sync.Mutex
	idle   []*worker // the last one was used last
	unused int       // the fewest that were idle since the last reaping
	reaper *time.Timer
	armed  bool
	closed bool
}

// reapInterval is how long a worker stays idle, at least; twice as long at most.
const reapInterval = 50 * time.Millisecond

// Task is something that a worker does. After Do has told that it was not
// finished, the task belongs to the worker.
type Task interface{ Run() }

type worker struct {
	tasks  chan Task
	done   chan struct{}
	state  atomic.Int32
	exited bool // by runtime.Goexit in a task; set before done is sent to
}

// States of a worker that was given a task.
const (
	running int32 = iota
	finished
	abandoned // nobody waits for it any more
)

// Do runs the task and tells whether it was finished when ctx ended. A ctx that
// can't end needs no worker. A task that ends its goroutine (runtime.Goexit) ends
// that of Do's caller, as it would without a worker.
func (p *Pool) Do(ctx context.Context, t Task) bool {
	if ctx.Done() == nil {
		t.Run()
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
	if w.exited {
		runtime.Goexit()
	}
	p.put(w)
	return true
}

func (p *Pool) take() *worker {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.unused = min(p.unused, n-1)
		p.mu.Unlock()
		return w
	}
	p.mu.Unlock()
	w := &worker{tasks: make(chan Task, 1), done: make(chan struct{}, 1)}
	go p.work(w)
	return w
}

func (p *Pool) put(w *worker) {
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

func (p *Pool) work(w *worker) {
	ended := false
	defer func() {
		if !ended {
			w.exited = true
			if w.state.CompareAndSwap(running, finished) {
				w.done <- struct{}{}
			}
		}
	}()
	for t := range w.tasks {
		t.Run()
		if w.state.CompareAndSwap(running, finished) {
			w.done <- struct{}{}
		} else {
			p.put(w)
		}
	}
	ended = true
}

// reap ends the workers that were not used since the last time.
func (p *Pool) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
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

// Close ends the workers, those that are busy when they have finished. Tasks may
// be given to the pool afterwards, and get a goroutine each.
func (p *Pool) Close() {
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
