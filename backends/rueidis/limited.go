package rueidis

import (
	"context"
	"sync"
	"time"
)

// fillTimeout is how long a claim waits for the client-side cache to ask the
// server before it asks the server itself.
const fillTimeout = time.Second

// limited is a context that ends fillTimeout after its first use, if its parent
// has not ended before. A hit in rueidis' cache uses no context, and so costs no
// timer; a miss on a client that retries would otherwise go on for as long as
// the server is down.
type limited struct {
	parent context.Context

	mu     sync.Mutex
	used   context.Context
	cancel context.CancelFunc
}

func (l *limited) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used == nil {
		// The deadline isn't shown, for the reason that line.calm gives.
		ctx, cancel := context.WithTimeout(l.parent, fillTimeout)
		l.used, l.cancel = undated{ctx}, cancel
	}
	return l.used
}

// end releases the timer, if there is one.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil {
		l.cancel()
	}
}

func (l *limited) Deadline() (time.Time, bool) { return l.context().Deadline() }
func (l *limited) Done() <-chan struct{}       { return l.context().Done() }
func (l *limited) Err() error                  { return l.context().Err() }
func (l *limited) Value(key any) any           { return l.parent.Value(key) }
