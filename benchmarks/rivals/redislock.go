package rivals

import (
	"context"
	"errors"
	"testing"

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
//	                who came at the same time also poll at the same time
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

// RedislockGetFirst is the same by somebody who cares for replays: it looks for
// the receipt before it asks for the lock, and looks again when it has it. A
// replay is one round trip, a fresh call five.
var RedislockGetFirst = Rival{
	Name: "redislock-get-first", Client: "goredis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		client := newGoredis(tb, addr, dial)
		locker := redislock.New(client)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			receipt, err := client.Get(ctx, "receipt:"+key).Bytes()
			if !errors.Is(err, redis.Nil) {
				return receipt, err
			}
			return ByHand(ctx, client, locker, key, action)
		}
	},
}
