package linearizability_test

import (
	"context"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	redigolib "github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/conformance/linearizability"
	"github.com/reprise-go/reprise/internal/redistest"
)

// connector makes one more process on the server, with a client of its own.
type connector func(tb testing.TB, addr, prefix string) backend.Backend

func onGoredis(retries int) connector {
	return func(tb testing.TB, addr, prefix string) backend.Backend {
		client := redislib.NewClient(&redislib.Options{Addr: addr, MaxRetries: retries, ReadTimeout: time.Second, DialTimeout: time.Second})
		store, err := goredis.New(client, goredis.Options{Prefix: prefix})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			store.Close()
			client.Close()
		})
		return store
	}
}

func onRedigo(tb testing.TB, addr, prefix string) backend.Backend {
	pool := &redigolib.Pool{
		MaxIdle: 32,
		DialContext: func(ctx context.Context) (redigolib.Conn, error) {
			return redigolib.DialContext(ctx, "tcp", addr, redigolib.DialReadTimeout(time.Second))
		},
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
}

// onRueidis tries for a while: New needs the server, and the proxy may cut that.
// Nobody has a Forget beside it: what another process forgot may be answered from
// its cache until the server's invalidation has come, as its documentation says.
func onRueidis(tb testing.TB, addr, prefix string) backend.Backend {
	for deadline := time.Now().Add(10 * time.Second); ; {
		store, err := rueidis.New(rueidislib.ClientOption{InitAddress: []string{addr}, ConnWriteTimeout: time.Second}, rueidis.Options{Prefix: prefix})
		if err == nil {
			tb.Cleanup(func() { store.Close() })
			return struct{ backend.Backend }{store}
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

// on is the harness of a server at addr that is reached through the clients in
// turn.
func on(addr string, connectors ...connector) conformance.Harness {
	return conformance.Harness{
		Lease: 50 * time.Millisecond,
		Open: func(tb testing.TB) func() backend.Backend {
			prefix := redistest.Prefix(tb)
			n := 0
			return func() backend.Backend {
				n++
				store := connectors[(n-1)%len(connectors)](tb, addr, prefix)
				if len(connectors) > 1 {
					return struct{ backend.Backend }{store} // rueidis is among them: see onRueidis
				}
				return store
			}
		},
	}
}

// behind is the harness with a network between that loses replies, cuts and
// delays requests, and, if late, delivers some after their sender has given up.
func behind(t *testing.T, addr string, late bool, connectors ...connector) (conformance.Harness, *faults.Proxy) {
	seed := rand.Uint64()
	t.Logf("the network's seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	proxy, err := faults.NewProxy(addr, faults.ProxyOptions{Complete: faults.WholeRESP, Log: 1, Pick: func([]byte) faults.Action {
		mu.Lock()
		defer mu.Unlock()
		switch n := random.IntN(1000); {
		case n < 8:
			return faults.CutReply
		case n < 12:
			return faults.CutBefore
		case n < 20 && late:
			return faults.Late(time.Duration(random.Int64N(int64(150 * time.Millisecond))))
		case n < 40:
			return faults.DelayReply(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		default:
			return faults.Pass
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Close() })
	return on(proxy.Addr(), connectors...), proxy
}

// longer is the variable that makes the tests on Redis take so long, for the
// night: REPRISE_LINEARIZABILITY=30s.
const longer = "REPRISE_LINEARIZABILITY"

// runFor is how long a test on Redis makes histories.
func runFor(tb testing.TB) time.Duration {
	text := os.Getenv(longer)
	if text == "" {
		return 500 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		tb.Fatalf("%s: %v", longer, err)
	}
	return d
}

// TestRedis has the faults that an injector makes, on a good network.
func TestRedis(t *testing.T) {
	t.Parallel()
	h := on(redistest.Address(t), onGoredis(-1), onRedigo, onRueidis)
	t.Log(linearizability.Check(t, h, linearizability.Options{Duration: runFor(t), Parallel: 16}))
}

// disturb does what operators and bad networks do to a server, now and then.
func disturb(do ...func()) func(context.Context) {
	return func(ctx context.Context) {
		for n := 0; ; n++ {
			timer := time.NewTimer(100 * time.Millisecond)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-timer.C:
				do[n%len(do)]()
			}
		}
	}
}

func TestRedisBehindABadNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		connectors []connector
		resends    int // then nothing arrives late
	}{
		"goredis that resends": {connectors: []connector{onGoredis(3)}, resends: 3},
		"redigo":               {connectors: []connector{onRedigo}, resends: 3},
		"late and mixed":       {connectors: []connector{onGoredis(-1), onRueidis}},
		"mixed":                {connectors: []connector{onGoredis(-1), onRedigo, onRueidis}, resends: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			h, proxy := behind(t, server.Addr(), c.resends == 0, c.connectors...)
			trouble := []func(){
				func() { server.Do(t, "SCRIPT", "FLUSH") },
				func() { server.Do(t, "CLIENT", "KILL", "TYPE", "pubsub") },
			}
			if c.resends == 0 {
				// These make all calls of a key resend at once.
				trouble = append(trouble, proxy.CutAll, func() { server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") })
			}
			t.Log(linearizability.Check(t, h, linearizability.Options{
				Duration: runFor(t), Parallel: 16, Faults: linearizability.NoFaults, Resends: c.resends, During: disturb(trouble...),
			}))
		})
	}
}

// TestRedisIsKilled kills the server in the middle and starts it again from its
// append-only file.
func TestRedisIsKilled(t *testing.T) {
	policies := []string{"always"}
	if os.Getenv(longer) != "" {
		policies = append(policies, "everysec") // a kill, unlike a power cut, loses nothing with it either
	}
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", policy)
			h := on(server.Addr(), onGoredis(-1), onRedigo, onRueidis)
			t.Log(linearizability.Check(t, h, linearizability.Options{
				Duration: runFor(t), Parallel: 16, Resends: 3, During: disturb(func() { server.Restart(t) }),
			}))
		})
	}
}
