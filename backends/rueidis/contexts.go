package rueidis

import (
	"context"
	"sync/atomic"
	"time"
)

// calm hides the deadline from a client that may not be pipelining. With a
// deadline rueidis would read the reply on the caller's goroutine: it would
// ignore a cancel, and close the connection, which others use, at the deadline.
// Without one it begins to pipeline.
func (l *line) calm(ctx context.Context) context.Context {
	if !l.shared || ctx.Done() == nil {
		return ctx
	}
	return undated{ctx}
}

type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

// unhurried is the ctx of a call that is left behind when its ctx ends. Rueidis
// connects on behalf of whoever comes first: were that given up with the ctx, it
// would fail for everybody who waits for the same connection. Err is the ctx's:
// rueidis asks for it before it sends, so that nothing is sent too late.
type unhurried struct{ context.Context }

func (unhurried) Deadline() (time.Time, bool) { return time.Time{}, false }
func (unhurried) Done() <-chan struct{}       { return never }

var never = make(chan struct{})

// fillTimeout is how long a client that retries may go on asking the server for
// what its cache doesn't have: then the claim asks, which isn't retried.
const fillTimeout = time.Second

// limited has an error fillTimeout after it was first asked for it, which is
// before each try, and which a hit in the cache never does.
type limited struct {
	context.Context
	first atomic.Pointer[time.Time]
}

func (l *limited) Err() error {
	if err := l.Context.Err(); err != nil {
		return err
	}
	now := time.Now()
	if !l.first.CompareAndSwap(nil, &now) && now.Sub(*l.first.Load()) > fillTimeout {
		return context.DeadlineExceeded
	}
	return nil
}
