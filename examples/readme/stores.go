package readme

import (
	"context"

	"github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/backends/rueidis"
)

// Memory makes a store without a server.
func Memory() backend.Backend {
	store := memory.New()
	return store
}

// GoRedis makes a store on go-redis.
func GoRedis(addr string) (backend.Backend, error) {
	store, err := goredis.New(redislib.NewClient(&redislib.Options{Addr: addr}), goredis.Options{})
	return store, err
}

// Rueidis makes a store on rueidis.
func Rueidis(addr string) (backend.Backend, error) {
	store, err := rueidis.New(rueidislib.ClientOption{InitAddress: []string{addr}}, rueidis.Options{})
	return store, err
}

// Redigo makes a store on redigo.
func Redigo(addr string) (backend.Backend, error) {
	pool := &redis.Pool{
		MaxIdle:     10,
		DialContext: func(ctx context.Context) (redis.Conn, error) { return redis.DialContext(ctx, "tcp", addr) },
	}
	store, err := redigo.New(pool, redigo.Options{})
	return store, err
}
