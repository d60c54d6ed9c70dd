package clients

import (
	"context"
	"testing"

	redigolib "github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
)

// Pools are the clients that have a pool, with one of so many connections. Dial
// is not used.
func Pools(size int) []Client {
	return []Client{
		{Name: "goredis", Open: func(tb testing.TB, addr string, _ Dial) backend.Backend {
			client := redislib.NewClient(&redislib.Options{Addr: addr, PoolSize: size})
			tb.Cleanup(func() { _ = client.Close() })
			store, err := goredis.New(client, goredis.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = store.Close() })
			return store
		}},
		{Name: "redigo", Open: func(tb testing.TB, addr string, _ Dial) backend.Backend {
			pool := &redigolib.Pool{
				MaxIdle: size, MaxActive: size, Wait: true,
				DialContext: func(ctx context.Context) (redigolib.Conn, error) { return redigolib.DialContext(ctx, "tcp", addr) },
			}
			tb.Cleanup(func() { _ = pool.Close() })
			store, err := redigo.New(pool, redigo.Options{})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() { _ = store.Close() })
			return store
		}},
	}
}
