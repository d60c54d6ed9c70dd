package idempotency_test

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// Durations of the executors in the property test.
const (
	propLease     = time.Second
	propMargin    = propLease / 10 // what an executor takes off it
	propRetention = 20 * propLease
	propCommit    = 3 * propLease
	propWait      = 6 * propLease
)

// propProcess is an executor with a line of its own to the store.
type propProcess struct {
	*idempotency.Executor
	name        int
	line        *line
	injector    *faults.Injector
	operations  map[string]*idempotency.Operation[string]
	ctx         context.Context // ends when the process does
	kill        context.CancelFunc
	undisturbed bool // neither crashed nor paused, and no request of it broken, so far
}

// line is a process' way to the store: it holds requests while the process is
// paused and swallows them once it is dead. What it holds is delivered when the
// process goes on, though its sender may have given up.
type line struct {
	model *model
	next  backend.Backend

	mu     sync.Mutex
	paused chan struct{} // closed when the process goes on; nil while it isn't paused
	dead   bool
	slow   time.Duration // by how much the reply to the next claim is late
}

// slowReply holds the reply to a claim back that is on its way to its sender.
func (l *line) slowReply(ctx context.Context) error {
	l.mu.Lock()
	d := l.slow
	l.slow = 0
	l.mu.Unlock()
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *line) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused == nil && !l.dead {
		l.paused = make(chan struct{})
	}
}

func (l *line) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused != nil {
		close(l.paused)
		l.paused = nil
	}
}

func (l *line) cut() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.resume()
}

func (l *line) isDead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead
}

type reply struct {
	record backend.Record
	err    error
}

// send delivers a request now, or when the process goes on. One that changes
// something is delivered late too.
func (l *line) send(ctx context.Context, changes bool, deliver func(context.Context) (backend.Record, error)) (backend.Record, error) {
	l.mu.Lock()
	paused, dead := l.paused, l.dead
	l.mu.Unlock()
	switch {
	case dead:
		return backend.Record{}, faults.ErrUnknownOutcome
	case paused == nil:
		return deliver(ctx)
	}
	done := make(chan reply, 1)
	go func() {
		<-paused
		late := ctx
		if changes {
			late = context.WithoutCancel(ctx)
		}
		if l.isDead() {
			done <- reply{err: faults.ErrUnknownOutcome}
			return
		}
		record, err := deliver(late)
		done <- reply{record, err}
	}()
	select {
	case r := <-done:
		return r.record, r.err
	case <-ctx.Done():
		return backend.Record{}, ctx.Err()
	}
}

func (l *line) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	l.model.claimSent(l, key, request)
	sent := time.Now()
	record, err := l.send(ctx, true, func(ctx context.Context) (backend.Record, error) { return l.next.Claim(ctx, key, request) })
	if late := l.slowReply(ctx); late != nil {
		return backend.Record{}, late
	}
	if err == nil && record.State == backend.Claimed && record.Token == request.Token {
		l.model.proven(request.Token, sent)
	}
	return record, err
}

func (l *line) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	l.model.commitSent(l, key, request)
	_, err := l.send(ctx, true, func(ctx context.Context) (backend.Record, error) {
		return backend.Record{}, l.next.Commit(ctx, key, request)
	})
	return err
}

func (l *line) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	return l.send(ctx, false, func(ctx context.Context) (backend.Record, error) { return l.next.Wait(ctx, key, token) })
}

func (l *line) Fetch(ctx context.Context, key string) (backend.Record, error) {
	return l.send(ctx, false, func(ctx context.Context) (backend.Record, error) { return l.next.Fetch(ctx, key) })
}

func (l *line) Forget(ctx context.Context, key string) error {
	_, err := l.send(ctx, true, func(ctx context.Context) (backend.Record, error) {
		return backend.Record{}, l.next.(backend.Forgetter).Forget(ctx, key)
	})
	return err
}
