package rivals

import (
	"context"
	"errors"
	"testing"

	"github.com/go-redsync/redsync/v4"
	redsyncgoredis "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Redsync is github.com/go-redsync/redsync/v4 v4.18.1, with GET and SET by hand.
//
// Usage: README, "Usage" (NewPool of a go-redis client, New, NewMutex, Lock,
// Unlock), with the default options (expiry 8 s, 32 attempts, 50 to 250 ms apart)
// and the Context forms of Lock and Unlock. One Redis server, so no Redlock. The
// client is go-redis.
//
//	waits?          yes, by polling; an attempt that finds the lock taken sends a
//	                release, too; gives up after 32 attempts (about 5 s)
//	error replay?   no: the next caller runs again
//	fencing?        no: SET by hand doesn't know whether the lock is still held
//	holder crash?   the lock ends with its expiry (8 s), which nobody renews here;
//	                then the next caller runs again
//	result kept?    by hand, under a second key
var Redsync = Rival{
	Name: "redsync", Client: "goredis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		client := newGoredis(tb, addr, dial)
		rs := redsync.New(redsyncgoredis.NewPool(client))
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			mutex := rs.NewMutex("lock:" + key)
			if err := mutex.LockContext(ctx); err != nil {
				return nil, err
			}
			defer mutex.UnlockContext(context.WithoutCancel(ctx))

			answer, err := client.Get(ctx, "answer:"+key).Bytes()
			if !errors.Is(err, redis.Nil) {
				return answer, err
			}
			if answer, err = action(ctx); err != nil {
				return nil, err
			}
			return answer, client.Set(ctx, "answer:"+key, answer, keptFor).Err()
		}
	},
}

// RedsyncGetFirst is the same by somebody who cares for replays: see [asker]. The
// lock is asked for by TryLockContext, and ErrTaken means another look. A replay is
// one round trip, a fresh call five.
//
//	waits?          yes, by polling for the answer, 16 to 100 ms apart; asking for
//	                a lock that is taken sends a release, too
var RedsyncGetFirst = Rival{
	Name: "redsync-get-first", Client: "goredis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		client := newGoredis(tb, addr, dial)
		rs := redsync.New(redsyncgoredis.NewPool(client))
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			mutex := rs.NewMutex("lock:" + key)
			return asker{
				get: func(ctx context.Context) ([]byte, bool, error) { return goredisGet(ctx, client, "answer:"+key) },
				try: func(ctx context.Context) (func(), bool, error) {
					err := mutex.TryLockContext(ctx)
					if taken := (*redsync.ErrTaken)(nil); errors.As(err, &taken) {
						return nil, false, nil
					}
					return func() { _, _ = mutex.UnlockContext(context.WithoutCancel(ctx)) }, err == nil, err
				},
				set: func(ctx context.Context, answer []byte) error {
					return client.Set(ctx, "answer:"+key, answer, keptFor).Err()
				},
			}.do(ctx, action)
		}
	},
}
