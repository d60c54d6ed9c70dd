// Package interop checks the Redis backends together: services on different
// clients share records, wait for each other and replay each other's answers.
package interop

import (
	"testing"

	redigolib "github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	rueidislib "github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/backends/rueidis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect makes one more process on the server, with a client of its own.
type connect func(tb testing.TB, addr, prefix string) backend.Backend

var clients = map[string]connect{
	"goredis": func(tb testing.TB, addr, prefix string) backend.Backend {
		client := redislib.NewClient(&redislib.Options{Addr: addr})
		store, err := goredis.New(client, goredis.Options{Prefix: prefix})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			store.Close()
			client.Close()
		})
		return store
	},
	"redigo": func(tb testing.TB, addr, prefix string) backend.Backend {
		pool := &redigolib.Pool{
			MaxIdle: 10, MaxActive: 20, Wait: true,
			Dial: func() (redigolib.Conn, error) { return redigolib.Dial("tcp", addr) },
		}
		store, err := redigo.New(pool, redigo.Options{Prefix: prefix})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			store.Close()
			pool.Close()
		})
		return store
	},
	"rueidis": func(tb testing.TB, addr, prefix string) backend.Backend {
		store, err := rueidis.New(rueidislib.ClientOption{InitAddress: []string{addr}}, rueidis.Options{Prefix: prefix})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { store.Close() })
		return store
	},
}
