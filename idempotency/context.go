package idempotency

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Execution is what an action can learn of itself from its ctx.
type Execution struct {
	// Key is the key as the caller gave it.
	Key string
	// Operation is the operation's name; empty where it has none.
	Operation string
	// Attempt is 1 for the first run of the key, and one more for every later one.
	// It is zero when the action runs unprotected (Options.FailOpen).
	Attempt uint32
	// Fence is the fencing token: it grows from attempt to attempt. Hand it to
	// what the action changes, so that it can refuse an older attempt. Zero when
	// the action runs unprotected.
	Fence uint64
}

// ExecutionOf returns the execution whose action runs in ctx; false outside of
// one.
func ExecutionOf(ctx context.Context) (Execution, bool) {
	a, ok := ctx.Value(actionKey{}).(*actionContext)
	if !ok {
		return Execution{}, false
	}
	return a.execution, true
}

type actionKey struct{}

// actionContext is the ctx of an action: the call's, with the execution in it,
// ended with cause ErrLeaseLost when the lease is lost. Many actions never look
// at Done; the cancellable context below is made only for those that do.
type actionContext struct {
	context.Context // the call's
	x               *Executor
	storageKey      string
	execution       Execution
	metadata        pairs
	ended           atomic.Bool // the action has returned

	mu       sync.Mutex
	inner    context.Context
	cancel   context.CancelCauseFunc
	finished bool
}

func (a *actionContext) cancellable() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inner == nil {
		a.inner, a.cancel = context.WithCancelCause(a.Context)
		if a.finished {
			a.cancel(nil)
		}
	}
	return a.inner
}

func (a *actionContext) made() context.Context {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inner == nil {
		return a.Context
	}
	return a.inner
}

func (a *actionContext) Done() <-chan struct{} { return a.cancellable().Done() }
func (a *actionContext) Err() error            { return a.made().Err() }

// Value hands every other key to the cancellable context where there is one:
// context.Cause and child contexts find it that way.
func (a *actionContext) Value(key any) any {
	if key == (actionKey{}) {
		return a
	}
	return a.made().Value(key)
}

// lose ends the ctx because the lease is gone.
func (a *actionContext) lose() {
	a.cancellable()
	a.cancel(ErrLeaseLost)
}

// cut tells whether err is the error of an action that its ctx cut short.
func (a *actionContext) cut(err error) bool {
	return err != nil && a.Err() != nil && (errors.Is(err, a.Err()) || errors.Is(err, context.Cause(a)))
}

// finish frees what the ctx holds once the action has returned.
func (a *actionContext) finish() {
	a.ended.Store(true)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finished = true
	if a.cancel != nil {
		a.cancel(nil)
	}
}

// runs tells whether ctx belongs to a running action of the same key, at any
// depth.
func (x *Executor) runs(ctx context.Context, storageKey string) bool {
	a, _ := ctx.Value(actionKey{}).(*actionContext)
	for a != nil {
		if a.x == x && a.storageKey == storageKey && !a.ended.Load() {
			return true
		}
		a, _ = a.Context.Value(actionKey{}).(*actionContext)
	}
	return false
}
