package redigo_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/internal/redistest"
)

// clients counts the connections that carry a name.
func clients(tb testing.TB, addr, name string) int {
	tb.Helper()
	return strings.Count(redistest.Do(tb, addr, "CLIENT", "LIST").(string), " name="+name+" ")
}

// A pool of one connection serves any number of waiters and those they wait for.
func TestWaitersHoldNoConnection(t *testing.T) {
	addr := redistest.Address(t)
	for _, waits := range []bool{true, false} {
		t.Run(fmt.Sprint("Wait ", waits), func(t *testing.T) {
			name := strings.ReplaceAll(redistest.Prefix(t), ":", "")
			pool := newPool(t, addr, redis.DialClientName(name))
			pool.MaxActive, pool.MaxIdle, pool.Wait = 1, 1, waits
			prefix := redistest.Prefix(t)
			b, other := openAt(t, pool, prefix), openAt(t, newPool(t, addr), prefix)
			const waiters = 100
			keys, records, results := make([]string, waiters), make([]backend.Record, waiters), make([]<-chan waited, waiters)
			for i := range waiters {
				keys[i] = fmt.Sprint("key", i%50) // two for each
				if i < 50 {
					records[i] = take(t, other, keys[i])
				}
				results[i] = wait(t, b, keys[i], records[i%50].Token)
			}
			until(t, "all listen", func() bool { return subscribers(t, addr, prefix) == 50 })
			if n := clients(t, addr, name); n > 2 {
				t.Errorf("%d connections for %d waiters", n, waiters)
			}
			if waits {
				complete(t, b, "while they wait", take(t, b, "while they wait"), "outcome")
			}
			for i := range 50 {
				complete(t, other, keys[i], records[i], keys[i])
			}
			for i, result := range results {
				if got := woken(t, result, backend.Completed); string(got.Outcome) != keys[i] {
					t.Errorf("who waits for %q got %q", keys[i], got.Outcome)
				}
			}
			until(t, "nobody listens", func() bool { return subscribers(t, addr, prefix) == 0 })
		})
	}
}

// However many keys there were, nothing is left of those that nobody waits for,
// and nothing of anything after Close.
func TestNothingIsLeftBehind(t *testing.T) {
	addr := redistest.Address(t)
	keys := 100_000
	if testing.Short() {
		keys = 3_000
	}
	name := strings.ReplaceAll(redistest.Prefix(t), ":", "")
	pool := newPool(t, addr, redis.DialClientName(name))
	prefix := redistest.Prefix(t)
	b := openAt(t, pool, prefix)
	before := runtime.NumGoroutine()

	work := make(chan int)
	var workers sync.WaitGroup
	for range 64 {
		workers.Go(func() {
			for n := range work {
				key := fmt.Sprint(n)
				request := claiming(newToken())
				if _, err := b.Claim(t.Context(), key, request); err != nil {
					t.Errorf("claim %s: %v", key, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					_, err := b.Wait(ctx, key, request.Token)
					ended <- err
				}()
				if n%2 == 0 {
					cancel()
				} else if err := b.Commit(ctx, key, completing(request.Token, "o")); err != nil {
					t.Errorf("commit %s: %v", key, err)
				}
				if err := <-ended; (err == nil) == (n%2 == 0) && n%2 != 0 {
					t.Errorf("wait %s: %v", key, err)
				}
				cancel()
				if err := b.Forget(t.Context(), key); err != nil {
					t.Errorf("forget %s: %v", key, err)
				}
			}
		})
	}
	for n := range keys {
		work <- n
	}
	close(work)
	workers.Wait()
	until(t, "nobody listens", func() bool { return subscribers(t, addr, prefix) == 0 })
	if n := clients(t, addr, name); n > pool.MaxIdle+1 {
		t.Errorf("%d connections while nothing is done", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "the connections are closed", func() bool { return clients(t, addr, name) == 0 })
	until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

// The connection for wake-ups is there while somebody waits, and a little longer.
func TestSubscriptionIsOpenedLazily(t *testing.T) {
	addr := redistest.Address(t)
	name := strings.ReplaceAll(redistest.Prefix(t), ":", "")
	pool := newPool(t, addr, redis.DialClientName(name))
	b := open(t, pool)
	record := take(t, b, "key")
	// Two verbs that overlap take two connections of the pool; the subscription's is
	// none of them.
	besides := func() int { return clients(t, addr, name) - pool.ActiveCount() }
	if n := besides(); n != 0 {
		t.Errorf("%d connections besides the pool's before anybody waits", n)
	}
	result := wait(t, b, "key", record.Token)
	until(t, "the subscription's connection is open", func() bool { return besides() == 1 })
	complete(t, b, "key", record, "outcome")
	woken(t, result, backend.Completed)
	until(t, "it is closed", func() bool { return besides() == 0 })
}
