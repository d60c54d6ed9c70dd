package rivals

import (
	"context"
	"time"

	"github.com/bsm/redislock"
)

// asker is the by-hand code of somebody who cares for replays and for those who
// wait: the answer first, then the lock, once, and the answer again under it. Who
// finds the lock taken does the same again after a pause, so all who wait get the
// answer when they find it, and nobody queues for a lock that has no use any
// more.
type asker struct {
	// get is false where there is no answer yet.
	get func(ctx context.Context) (answer []byte, found bool, err error)
	// try asks for the lock once; false where another one has it.
	try func(ctx context.Context) (unlock func(), held bool, err error)
	set func(ctx context.Context, answer []byte) error
}

// pauses are those between two looks: as short as the documentation of redislock
// recommends at least (16 ms), and in the end as long as its example has them.
func pauses() redislock.RetryStrategy {
	return redislock.ExponentialBackoff(16*time.Millisecond, 100*time.Millisecond)
}

func (a asker) do(ctx context.Context, action func(context.Context) ([]byte, error)) ([]byte, error) {
	next := pauses()
	for {
		answer, found, err := a.get(ctx)
		if err != nil || found {
			return answer, err
		}
		unlock, held, err := a.try(ctx)
		if err != nil {
			return nil, err
		}
		if held {
			return a.locked(ctx, unlock, action)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(next.NextBackoff()):
		}
	}
}

func (a asker) locked(ctx context.Context, unlock func(), action func(context.Context) ([]byte, error)) ([]byte, error) {
	defer unlock()
	answer, found, err := a.get(ctx)
	if err != nil || found {
		return answer, err
	}
	if answer, err = action(ctx); err != nil {
		return nil, err
	}
	return answer, a.set(ctx, answer)
}
