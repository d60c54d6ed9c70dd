package goredis_test

import (
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

// onServer is the harness of a real server: all stores of the suite are prefixes
// on it.
func onServer(t *testing.T, connect func(addr string) redislib.UniversalClient) conformance.Harness {
	server := redistest.Start(t)
	return conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			prefix := redistest.Prefix(t)
			return func() backend.Backend { return open(tb, connect(server.Addr()), prefix) }
		},
		Corrupt: func(tb testing.TB, key string) {
			for _, name := range server.Do(tb, "KEYS", "*").([]any) {
				if strings.HasSuffix(name.(string), key) {
					server.Do(tb, "SET", name.(string), "no frame of ours", "PX", "60000")
				}
			}
		},
		Disconnect: func(tb testing.TB) {
			server.Do(tb, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			server.Do(tb, "CLIENT", "KILL", "TYPE", "pubsub")
		},
		Silence: func(tb testing.TB) func() {
			server.Pause(tb)
			return func() { server.Resume(tb) }
		},
	}
}

func TestConformanceRedis(t *testing.T) {
	conformance.Run(t, onServer(t, func(addr string) redislib.UniversalClient {
		return redislib.NewClient(&redislib.Options{Addr: addr, ReadTimeout: time.Second, DialTimeout: time.Second})
	}))
}

func TestConformanceClientSideCache(t *testing.T) {
	conformance.Run(t, onServer(t, func(addr string) redislib.UniversalClient {
		return redislib.NewClient(&redislib.Options{
			Addr: addr, ReadTimeout: time.Second, DialTimeout: time.Second, Protocol: 3,
			ClientSideCacheConfig: &redislib.ClientSideCacheConfig{},
		})
	}))
}

func TestConformanceRESP2(t *testing.T) {
	conformance.Run(t, onServer(t, func(addr string) redislib.UniversalClient {
		return redislib.NewClient(&redislib.Options{Addr: addr, ReadTimeout: time.Second, DialTimeout: time.Second, Protocol: 2})
	}))
}

func TestConformanceMiniredis(t *testing.T) {
	mini := redistest.Mini(t)
	conformance.Run(t, conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			prefix := redistest.Prefix(t)
			return func() backend.Backend {
				options := quiet(mini.Addr())
				options.PoolSize = 4 // the goroutines of the server's end are in this process
				return open(tb, redislib.NewClient(options), prefix)
			}
		},
		Advance: mini.FastForward,
		Corrupt: func(tb testing.TB, key string) {
			for _, name := range mini.Keys() {
				if strings.HasSuffix(name, key) {
					if err := mini.Set(name, "no frame of ours"); err != nil {
						tb.Fatal(err)
					}
				}
			}
		},
	})
}

// An AutoPipeliner is a client too.
func TestConformanceAutoPipeline(t *testing.T) {
	conformance.Run(t, onServer(t, func(addr string) redislib.UniversalClient {
		client := redislib.NewClient(&redislib.Options{Addr: addr, ReadTimeout: time.Second, DialTimeout: time.Second})
		t.Cleanup(func() { client.Close() })
		pipeline, err := client.AutoPipeline()
		if err != nil {
			t.Fatal(err)
		}
		return pipeline
	}))
}
