package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/backends/rueidis"
)

// clients is which Redis client an instance has, by its slot.
var clients = [...]string{"go-redis", "rueidis", "redigo"}

// newStore connects an instance to the Redis that all of them share. Each has
// another client: they read each other's records. Tracking is false where the
// server has no CLIENT TRACKING, as the embedded one.
func newStore(slot int, addr string, tracking bool) (store backend.Backend, stop func(), err error) {
	switch client := clients[slot-1]; client {
	case "go-redis":
		client := newGoRedis(addr)
		store, err := goredis.New(client, goredis.Options{})
		if err != nil {
			return nil, nil, err
		}
		return store, func() {
			_ = store.Close()
			_ = client.Close()
		}, nil
	case "rueidis":
		store, err := rueidis.New(rueidislib.ClientOption{
			InitAddress: []string{addr}, DisableCache: !tracking, ForceSingleClient: true,
		}, rueidis.Options{})
		if err != nil {
			return nil, nil, err
		}
		return store, func() { _ = store.Close() }, nil
	case "redigo":
		pool := &redis.Pool{
			MaxIdle: 10, MaxActive: 100, IdleTimeout: time.Minute,
			DialContext: func(ctx context.Context) (redis.Conn, error) { return redis.DialContext(ctx, "tcp", addr) },
		}
		store, err := redigo.New(pool, redigo.Options{})
		if err != nil {
			return nil, nil, err
		}
		return store, func() {
			_ = store.Close()
			_ = pool.Close()
		}, nil
	default:
		return nil, nil, fmt.Errorf("no client %q", client)
	}
}

func newGoRedis(addr string) *redislib.Client {
	return redislib.NewClient(&redislib.Options{
		Addr: addr,
		// A command ends with the ctx of its request.
		ContextTimeoutEnabled: true,
		// Only Redis Enterprise has these; elsewhere the client logs that it hasn't.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
