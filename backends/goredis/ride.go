package goredis

import (
	"context"
	"math"
	"sync"
	"time"

	redislib "github.com/redis/go-redis/v9"
)

// passenger is a call whose first command can be sent in a pipeline with those of
// others.
type passenger interface {
	// Run makes the call. What came back for the first command is not asked for again.
	Run()
	// first is the first command, for a driver who begins at that time.
	first(boarded time.Time) redislib.Cmder
	// rode takes what came back, and tells whether that ends the call.
	rode() (settled bool)
	// lost notes that nobody knows what became of the first command.
	lost()
}

// ride is a call that is sent together with others.
type ride struct {
	ctx     context.Context
	call    passenger
	settled bool
	done    chan struct{} // has room for one
}

var rides = sync.Pool{New: func() any { return &ride{done: make(chan struct{}, 1)} }}

// alone is the company of a call that never rides.
const alone int64 = math.MaxInt64

// do makes a call and tells whether it was finished when ctx ended. If not, the
// call belongs to who makes it. Where more than company are under way, its first
// command is sent with those of others.
func (b *Backend) do(ctx context.Context, call passenger, company int64) bool {
	defer b.calls.Add(-1)
	if b.calls.Add(1) <= company || b.gatherer == nil {
		return b.workers.Do(ctx, call)
	}
	r := rides.Get().(*ride)
	r.ctx, r.call, r.settled = ctx, call, false
	b.gatherer.Add(r)
	select {
	case <-r.done:
	case <-ctx.Done(): // the ride is the driver's now
		return false
	}
	settled := r.settled
	r.ctx, r.call = nil, nil
	rides.Put(r)
	// Retries, and the second command of a lost claim, hold up nobody else.
	return settled || b.workers.Do(ctx, call)
}

// drive sends the first commands of those who are still there in one pipeline. It
// isn't bound to the ctx of any of them, but to the client's timeouts. Hooks of the
// app's see it as the first one's.
func (b *Backend) drive(together []*ride) {
	riders := together[:0]
	for _, r := range together {
		if r.ctx.Err() == nil { // nothing is sent too late
			riders = append(riders, r)
		}
	}
	if len(riders) == 0 {
		return
	}
	// What the app has hooked into the client may panic or end the goroutine. Then
	// each goes on alone, and meets it there.
	ended := false
	defer func() {
		_ = recover()
		for _, r := range riders {
			if !ended {
				r.call.lost()
			}
			r.done <- struct{}{}
		}
	}()
	ctx, cancel := b.pipelineContext(riders)
	defer cancel()
	pipe, now := b.client.Pipeline(), time.Now()
	for _, r := range riders {
		_ = pipe.Process(r.ctx, r.call.first(now))
	}
	// What went wrong, each command says for itself.
	_, _ = pipe.Exec(ctx)
	for _, r := range riders {
		r.settled = r.call.rode()
	}
	ended = true
}

// pipelineContext ends with the last of the riders' deadlines where the client has
// no timeouts of its own because it is told to take them from the ctx.
func (b *Backend) pipelineContext(riders []*ride) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(riders[0].ctx)
	if !b.single.Options().ContextTimeoutEnabled {
		return ctx, func() {}
	}
	var last time.Time
	for _, r := range riders {
		deadline, ok := r.ctx.Deadline()
		if !ok {
			return ctx, func() {}
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return context.WithDeadline(ctx, last)
}
