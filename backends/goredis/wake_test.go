package goredis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// patience is how long something may take that must happen soon. Nothing here
// would happen within it by the end of a lease, nor by a poll.
const patience = 8 * time.Second

func received(t *testing.T, w chan waited) backend.Record {
	t.Helper()
	select {
	case r := <-w:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.record
	case <-time.After(patience):
		t.Fatalf("nothing after %v", patience)
		panic("unreachable")
	}
}

// asleep waits until somebody is subscribed to a key and has looked.
func asleep(t *testing.T, addr, name string) {
	t.Helper()
	eventually(t, "a subscription", func() bool { return subscribers(t, addr, name) >= 1 })
}

func TestWakeAcrossProcesses(t *testing.T) {
	server := redistest.Start(t)
	holder := open(t, redislib.NewClient(quiet(server.Addr())), "")
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	for name, c := range map[string]struct {
		end   func(key string, tok backend.Token) error
		state backend.State
	}{
		"complete": {func(key string, tok backend.Token) error {
			return holder.Commit(t.Context(), key, completing(tok, "o"))
		}, backend.Completed},
		"large": {func(key string, tok backend.Token) error {
			return holder.Commit(t.Context(), key, completing(tok, strings.Repeat("x", 100_000)))
		}, backend.Completed},
		"release": {func(key string, tok backend.Token) error {
			return holder.Commit(t.Context(), key, ending(tok, backend.Release))
		}, backend.Vacant},
		"abandon": {func(key string, tok backend.Token) error {
			return holder.Commit(t.Context(), key, ending(tok, backend.Abandon))
		}, backend.Abandoned},
		"forget": {func(key string, _ backend.Token) error { return holder.Forget(t.Context(), key) }, backend.Vacant},
	} {
		tok := token()
		take(t, holder, name, tok)
		w := wait(t.Context(), store, name, tok)
		asleep(t, server.Addr(), record(t, "", name))
		if err := c.end(name, tok); err != nil {
			t.Fatal(err)
		}
		if r := received(t, w); r.State != c.state {
			t.Errorf("%s: %v", name, r.State)
		}
	}
}

// The connection that carries the wake-ups is lost while a commit is published.
func TestLostSubscription(t *testing.T) {
	server := redistest.Start(t)
	holder := open(t, redislib.NewClient(quiet(server.Addr())), "")
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	control, err := redistest.Dial(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	for range 5 {
		missed, later := token(), token()
		take(t, holder, string(missed[:]), missed)
		take(t, holder, string(later[:]), later)
		m, l := wait(t.Context(), store, string(missed[:]), missed), wait(t.Context(), store, string(later[:]), later)
		asleep(t, server.Addr(), record(t, "", string(missed[:])))
		asleep(t, server.Addr(), record(t, "", string(later[:])))
		// The outcome is recorded and nothing published, as if it were lost.
		frame := redistest.Do(t, server.Addr(), "GET", record(t, "", string(missed[:]))).(string)
		redistest.Do(t, server.Addr(), "SET", record(t, "", string(missed[:])), frame[:1]+"\x13"+frame[2:32]+frame[37:], "PX", "60000")
		if _, err := control.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
			t.Fatal(err)
		}
		if r := received(t, m); r.State != backend.Completed {
			t.Error(r.State)
		}
		asleep(t, server.Addr(), record(t, "", string(later[:])))
		complete(t, holder, string(later[:]), later, "outcome")
		if r := received(t, l); r.State != backend.Completed {
			t.Error(r.State)
		}
	}
}

// A key that vanishes is announced by nobody.
func TestFlushWhileWaiting(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	tok := token()
	request := taking(tok)
	request.Lease = 1500 * time.Millisecond
	if _, err := store.Claim(t.Context(), "k", request); err != nil {
		t.Fatal(err)
	}
	w := wait(t.Context(), store, "k", tok)
	asleep(t, server.Addr(), record(t, "", "k"))
	server.Do(t, "FLUSHALL")
	server.Do(t, "SCRIPT", "FLUSH")
	if r := received(t, w); !r.Unknown() {
		t.Errorf("%+v", r)
	}
}

// Redis deletes expired keys when it comes to them: with many others it takes
// long, and nothing may wait for it.
func TestDeadHolderAmongManyVolatileKeys(t *testing.T) {
	server := redistest.Start(t)
	client := redislib.NewClient(quiet(server.Addr()))
	store := open(t, client, "")
	pipe := client.Pipeline()
	for i := range 20_000 {
		pipe.Set(t.Context(), fmt.Sprintf("volatile-%d", i), "x", time.Hour)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tok := token()
		request := taking(tok)
		request.Lease = 300 * time.Millisecond
		if _, err := store.Claim(t.Context(), string(tok[:]), request); err != nil {
			t.Fatal(err)
		}
		if r := received(t, wait(t.Context(), store, string(tok[:]), tok)); r.State != backend.Abandoned {
			t.Errorf("%+v", r)
		}
	}
}

func TestScriptFlush(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	for name, outcome := range map[string]string{"small": "outcome", "large": strings.Repeat("x", 100_000)} {
		tok := token()
		held := take(t, store, name, tok)
		flush := func() { server.Do(t, "SCRIPT", "FLUSH") }
		flush()
		request := taking(tok)
		request.Renewal, request.Attempt, request.Fence = true, held.Attempt, held.Fence
		if r, err := store.Claim(t.Context(), name, request); err != nil || r.State != backend.Claimed {
			t.Fatal(r, err)
		}
		flush()
		commit := completing(tok, outcome)
		commit.Fence = held.Fence
		if err := store.Commit(t.Context(), name, commit); err != nil {
			t.Fatal(err)
		}
		flush()
		if r, err := store.Fetch(t.Context(), name); err != nil || string(r.Outcome) != outcome {
			t.Fatal(r.State, err)
		}
		flush()
		if err := store.Forget(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if keys := server.Do(t, "DBSIZE"); keys != int64(0) {
		t.Errorf("%v keys are left", keys)
	}
}

// Waiters hold nothing of the client's pool.
func TestPoolOfOne(t *testing.T) {
	server := redistest.Start(t)
	options := quiet(server.Addr())
	options.PoolSize, options.PipelinePoolSize = 1, -1
	store := open(t, redislib.NewClient(options), "")
	var waits []chan waited
	var tokens []backend.Token
	for i := range 100 {
		tok := token()
		take(t, store, fmt.Sprint(i), tok)
		tokens = append(tokens, tok)
		waits = append(waits, wait(t.Context(), store, fmt.Sprint(i), tok))
	}
	for i := range waits {
		asleep(t, server.Addr(), record(t, "", fmt.Sprint(i)))
	}
	if n := connections(t, server.Addr()); n > 2 {
		t.Errorf("%d connections", n)
	}
	for i := range waits {
		complete(t, store, fmt.Sprint(i), tokens[i], "outcome")
	}
	for _, w := range waits {
		if r := received(t, w); r.State != backend.Completed {
			t.Error(r.State)
		}
	}
}

// connections counts those of clients, without the one that asks.
func connections(tb testing.TB, addr string) int {
	tb.Helper()
	return strings.Count(redistest.Do(tb, addr, "CLIENT", "LIST").(string), "\n") - 1
}

// A user without the right to subscribe or to publish waits all the same.
func TestWaitWithoutPubSub(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "ACL", "SETUSER", "app", "on", ">secret", "~*", "resetchannels", "+@all", "-subscribe", "-publish")
	options := quiet(server.Addr())
	options.Username, options.Password = "app", "secret"
	store := open(t, redislib.NewClient(options), "")
	tok := token()
	take(t, store, "k", tok)
	w := wait(t.Context(), store, "k", tok)
	select {
	case r := <-w:
		t.Fatal(r)
	case <-time.After(500 * time.Millisecond):
	}
	complete(t, store, "k", tok, "outcome")
	if r := received(t, w); r.State != backend.Completed {
		t.Error(r.State)
	}
}

// The permissions that the documentation names are enough.
func TestDocumentedPermissions(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "ACL", "SETUSER", "app", "on", ">secret", "~reprise:*", "resetchannels", "&reprise:*", "-@all",
		"+set", "+get", "+getrange", "+strlen", "+exists", "+pttl", "+pexpire", "+rename", "+del", "+publish",
		"+eval", "+evalsha", "+subscribe", "+unsubscribe", "+hello", "+ping")
	options := quiet(server.Addr())
	options.Username, options.Password = "app", "secret"
	store := open(t, redislib.NewClient(options), "")
	for name, outcome := range map[string]string{"small": "outcome", "large": strings.Repeat("x", 100_000)} {
		tok := token()
		held := take(t, store, name, tok)
		w := wait(t.Context(), store, name, tok)
		asleep(t, server.Addr(), record(t, "", name))
		commit := completing(tok, outcome)
		commit.Fence = held.Fence
		if err := store.Commit(t.Context(), name, commit); err != nil {
			t.Fatal(err)
		}
		if r := received(t, w); string(r.Outcome) != outcome {
			t.Error(r.State)
		}
		if err := store.Forget(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	log := server.Do(t, "ACL", "LOG").([]any)
	if len(log) != 0 {
		t.Errorf("refused: %v", log)
	}
}

// Nothing is left of many keys: no subscription, no connection beyond the
// client's, no key without an end.
func TestNothingIsLeft(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 5_000
	}
	server := redistest.Start(t)
	connect := func() *goredis.Backend { return open(t, redislib.NewClient(quiet(server.Addr())), "") }
	holder, store := connect(), connect()
	_, _ = holder.Fetch(t.Context(), "warm")
	_, _ = store.Fetch(t.Context(), "warm")
	var group sync.WaitGroup
	const parallel = 64
	for p := range parallel {
		group.Go(func() {
			for i := p; i < n; i += parallel {
				key, tok := fmt.Sprint(i), token()
				take(t, holder, key, tok)
				ctx, cancel := context.WithCancel(t.Context())
				w := wait(ctx, store, key, tok)
				switch i % 4 {
				case 0: // a waiter that gives up
					cancel()
					if r := <-w; !errors.Is(r.err, context.Canceled) {
						t.Error(r)
					}
				case 1:
					if err := holder.Commit(t.Context(), key, ending(tok, backend.Release)); err != nil {
						t.Error(err)
					}
					<-w
				default:
					if err := holder.Commit(t.Context(), key, completing(tok, "outcome")); err != nil {
						t.Error(err)
					}
					if r := <-w; r.err != nil || r.record.State != backend.Completed {
						t.Error(r)
					}
				}
				cancel()
			}
		})
	}
	group.Wait()
	eventually(t, "no channel", func() bool {
		return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 0
	})
	eventually(t, "no subscription connection", func() bool {
		return !strings.Contains(server.Do(t, "CLIENT", "LIST").(string), "cmd=unsubscribe")
	})
	keys, expires := server.Do(t, "DBSIZE").(int64), server.Do(t, "INFO", "keyspace").(string)
	if want := fmt.Sprintf("keys=%d,expires=%d", keys, keys); keys != int64(n) || !strings.Contains(expires, want) {
		t.Errorf("%d records for %d keys: %s", keys, n, expires)
	}
}
