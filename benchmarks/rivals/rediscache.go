package rivals

import (
	"context"
	"testing"
	"time"

	"github.com/go-redis/cache/v9"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// RedisCache is github.com/go-redis/cache/v9 v9.0.0, its Once.
//
// Usage: README, "Quickstart", Example_advancedUsage, with its local cache of
// 1,000 entries for a minute; one go-redis client in place of the ring, because
// there is one server, and bytes in place of a struct, which the library stores
// as they are.
//
//	waits?          in the same process only (singleflight); two processes run
//	                the action twice, and the last one's answer stays
//	error replay?   to those who waited; the next caller runs again
//	fencing?        no
//	holder crash?   the next caller runs again at once; nothing was claimed
//	result kept?    yes; one that can't be decoded is deleted, and the action
//	                runs again; an error of GET, Redis being down for instance,
//	                counts as "not there", and the action runs; one of SET isn't
//	                told to anybody
var RedisCache = Rival{
	Name: "go-redis-cache", Client: "goredis", Remembers: true, Keeps: true, Waits: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		answers := cache.New(&cache.Options{
			Redis:      newGoredis(tb, addr, dial),
			LocalCache: cache.NewTinyLFU(1000, time.Minute),
		})
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			var answer []byte
			err := answers.Once(&cache.Item{
				Ctx: ctx, Key: key, Value: &answer, TTL: keptFor,
				Do: func(*cache.Item) (any, error) { return action(ctx) },
			})
			return answer, err
		}
	},
}
