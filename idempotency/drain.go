package idempotency

import (
	"context"
	"sync"
)

// background counts what may go on without a caller: detached and shielded
// actions, and endings that the store hasn't confirmed yet.
type background struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running falls to zero; nil while nobody drains
}

// run runs f in a goroutine of its own.
func (b *background) run(f func()) {
	b.start()
	go func() {
		defer b.done()
		f()
	}()
}

func (b *background) start() {
	b.mu.Lock()
	b.running++
	b.mu.Unlock()
}

func (b *background) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if b.running == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}

// Drain waits until nothing goes on in the background: detached and shielded
// actions, whose callers may have left, and endings that outlived their calls.
// Call it on shutdown, after the last call has returned (http.Server.Shutdown
// sees to that) and before the store is closed: what is still running then is
// lost like in a crash. It returns the ctx's error if that ends first.
func (x *Executor) Drain(ctx context.Context) error {
	x.background.mu.Lock()
	if x.background.running == 0 {
		x.background.mu.Unlock()
		return nil
	}
	if x.background.idle == nil {
		x.background.idle = make(chan struct{})
	}
	idle := x.background.idle
	x.background.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return &Error{Step: "drain", Err: ctx.Err()}
	}
}
