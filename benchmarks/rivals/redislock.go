package rivals

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Redislock is github.com/bsm/redislock v0.9.4, with GET and SET by hand: see [ByHand].
//
// Usage: README, "Examples" (New, Obtain, defer Release); how to wait is from the
// package's examples Obtain_retry (every 100 ms), without their limit of three
// attempts, with which most of many callers would get ErrNotObtained. The client
// is go-redis.
//
//	waits?          yes, by polling; one after the other gets the lock, and those
//	                who came at the same time also poll at the same time. How long
//	                the last one waits is the interval of the example; see
//	                [RedislockGetFirst] for a shorter one
//	error replay?   no: the next caller runs again
//	fencing?        no: SET by hand doesn't know whether the lock is still held
//	holder crash?   the lock ends with its TTL (30 s), which nobody renews here;
//	                then the next caller runs again
//	result kept?    by hand, under a second key
var Redislock = Rival{
	Name: "redislock", Client: "goredis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		client := newGoredis(tb, addr, dial)
		locker := redislock.New(client)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			return ByHand(ctx, client, locker, key, action)
		}
	},
}

// RedislockGetFirst is the same by somebody who cares for replays: see [asker]. The
// lock is asked for without a retry, as in the README, and ErrNotObtained means
// another look. A replay is one round trip, a fresh call five.
//
//	waits?          yes, by polling for the answer, 16 to 100 ms apart
var RedislockGetFirst = Rival{
	Name: "redislock-get-first", Client: "goredis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		client := newGoredis(tb, addr, dial)
		locker := redislock.New(client)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			return asker{
				get: func(ctx context.Context) ([]byte, bool, error) { return goredisGet(ctx, client, "receipt:"+key) },
				try: func(ctx context.Context) (func(), bool, error) {
					lock, err := locker.Obtain(ctx, "lock:"+key, 30*time.Second, nil)
					if errors.Is(err, redislock.ErrNotObtained) {
						return nil, false, nil
					}
					return func() { _ = lock.Release(context.WithoutCancel(ctx)) }, err == nil, err
				},
				set: func(ctx context.Context, receipt []byte) error {
					return client.Set(ctx, "receipt:"+key, receipt, keptFor).Err()
				},
			}.do(ctx, action)
		}
	},
}

// goredisGet is GET; false where there is nothing.
func goredisGet(ctx context.Context, client *redis.Client, key string) (value []byte, found bool, err error) {
	value, err = client.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	return value, err == nil, err
}
