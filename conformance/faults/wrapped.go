package faults

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// wrapped is a backend behind an [Injector].
type wrapped struct {
	injector *Injector
	store    backend.Backend

	closing sync.Once
	closed  chan struct{} // closed by Close, for the Wait that sleeps here
}

func (w *wrapped) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	request = ownClaim(request)
	var record backend.Record
	err := w.injector.do(ctx, Call{Verb: Claim, Key: key, Claim: &request, Token: request.Token}, func(ctx context.Context) error {
		got, err := w.store.Claim(ctx, key, request)
		record = got
		return err
	})
	if err != nil {
		return backend.Record{}, err
	}
	return record, nil
}

func (w *wrapped) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	request = ownCommit(request)
	return w.injector.do(ctx, Call{Verb: Commit, Key: key, Commit: &request, Token: request.Token}, func(ctx context.Context) error {
		return w.store.Commit(ctx, key, request)
	})
}

func (w *wrapped) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	call := Call{Verb: Wait, Key: key, Token: token}
	var record backend.Record
	fault := w.injector.choose(call)
	wait := w.store.Wait
	if fault.kind == dropWakeups {
		wait = w.waitByLooking
	}
	err := w.injector.apply(ctx, call, fault, func(ctx context.Context) error {
		got, err := wait(ctx, key, token)
		record = got
		return err
	})
	if err != nil {
		return backend.Record{}, err
	}
	return record, nil
}

func (w *wrapped) Fetch(ctx context.Context, key string) (backend.Record, error) {
	var record backend.Record
	err := w.injector.do(ctx, Call{Verb: Fetch, Key: key}, func(ctx context.Context) error {
		got, err := w.store.Fetch(ctx, key)
		record = got
		return err
	})
	if err != nil {
		return backend.Record{}, err
	}
	return record, nil
}

// waitByLooking is a Wait without wake-ups.
func (w *wrapped) waitByLooking(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	for {
		record, err := w.store.Fetch(ctx, key)
		if err != nil || token.IsZero() || record.State != backend.Claimed || record.Token != token {
			return record, err
		}
		timer := time.NewTimer(min(record.LeaseLeft, backend.MaxSleep))
		select {
		case <-timer.C:
		case <-w.closed:
			timer.Stop()
			return backend.Record{}, backend.ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return backend.Record{}, ctx.Err()
		}
	}
}

// wrappedForgetter and wrappedCloser carry the optional interfaces, one each.
type (
	wrappedForgetter struct{ w *wrapped }
	wrappedCloser    struct{ w *wrapped }
)

func (f wrappedForgetter) Forget(ctx context.Context, key string) error {
	return f.w.injector.do(ctx, Call{Verb: Forget, Key: key}, func(ctx context.Context) error {
		return f.w.store.(backend.Forgetter).Forget(ctx, key)
	})
}

func (c wrappedCloser) Close() error {
	c.w.closing.Do(func() { close(c.w.closed) })
	return c.w.store.(io.Closer).Close()
}
