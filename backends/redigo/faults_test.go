package redigo_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

func newProxy(tb testing.TB, addr string, pick func([]byte) faults.Action) *faults.Proxy {
	tb.Helper()
	proxy, err := faults.NewProxy(addr, faults.ProxyOptions{Pick: pick, Complete: faults.WholeRESP})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = proxy.Close() })
	return proxy
}

var delayed atomic.Uint64

// delays delivers some replies late.
func delays(request []byte) faults.Action {
	if n := delayed.Add(1); n%3 == 0 {
		return faults.DelayReply(time.Duration(n%7) * 500 * time.Microsecond)
	}
	return faults.Pass
}

func command(name string) func([]byte) bool {
	return func(request []byte) bool { return bytes.Contains(request, []byte("\r\n"+name+"\r\n")) }
}

func TestLostReplies(t *testing.T) {
	proxy := newProxy(t, redistest.Address(t), nil)
	b := open(t, newPool(t, proxy.Addr()))
	warm := take(t, b, "warm") // and load the scripts
	if _, err := b.Claim(t.Context(), "warm", claiming(warm.Token)); err != nil {
		t.Fatal(err)
	}
	complete(t, b, "warm", warm, "o")
	large := string(bytes.Repeat([]byte("o"), 100_000))
	_ = b.Forget(t.Context(), "warm")
	warm = take(t, b, "warm")
	complete(t, b, "warm", warm, large)

	t.Run("claim", func(t *testing.T) {
		for n, request := range []backend.ClaimRequest{claiming(newToken()), claiming(newToken())} {
			key := fmt.Sprint("claim", n)
			proxy.OnNth(command("SET"), 1, faults.CutReply)
			record, err := b.Claim(t.Context(), key, request)
			if err != nil || record.State != backend.Claimed || record.Token != request.Token || record.Attempt != 1 || record.Fence != request.Fence {
				t.Errorf("a claim whose first reply was lost: %+v, %v", record, err)
			}
		}
	})
	t.Run("commit", func(t *testing.T) {
		for key, outcome := range map[string]string{"small": "outcome", "large": large} {
			record := take(t, b, key)
			proxy.OnNth(command("EVALSHA"), 1, faults.CutReply)
			err := b.Commit(t.Context(), key, completing(record.Token, outcome))
			if err := oneOf(err, nil); err != nil {
				t.Errorf("%s: a commit whose reply was lost: %v", key, err)
			}
			if err == nil {
				t.Errorf("%s: a commit whose reply was lost is said to be applied", key)
			}
			complete(t, b, key, record, outcome)
			if got := fetch(t, b, key); string(got.Outcome) != outcome || got.Attempt != 1 {
				t.Errorf("%s: the record is %d, %d bytes", key, got.Attempt, len(got.Outcome))
			}
		}
	})
	t.Run("renewal", func(t *testing.T) {
		record := take(t, b, "renewal")
		request := claiming(record.Token)
		request.Renewal, request.Attempt, request.Fence = true, record.Attempt, record.Fence
		proxy.OnNth(command("EVALSHA"), 1, faults.CutReply)
		_, err := b.Claim(t.Context(), "renewal", request)
		if err == nil {
			t.Error("a renewal was sent twice")
		}
		if err := oneOf(err, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("fetch and forget", func(t *testing.T) {
		record := take(t, b, "fetch")
		proxy.OnNth(command("EVALSHA"), 1, faults.CutBefore)
		if got := fetch(t, b, "fetch"); got.Token != record.Token {
			t.Errorf("fetched %+v", got)
		}
		proxy.OnNth(command("EVALSHA"), 1, faults.CutReply)
		if err := b.Forget(t.Context(), "fetch"); err == nil {
			t.Error("a forget whose reply was lost is said to be applied")
		}
	})
	t.Run("not applied after a lost reply is unknown", func(t *testing.T) {
		proxy.OnNth(command("SET"), 1, faults.CutReply)
		proxy.OnNth(command("SET"), 2, faults.CutBefore)
		limit := newPool(t, proxy.Addr())
		b := open(t, limit)
		dials := atomic.Int32{}
		dial := limit.DialContext
		limit.MaxIdle = 0
		limit.DialContext = func(ctx context.Context) (redis.Conn, error) {
			if dials.Add(1) > 1 {
				return nil, fmt.Errorf("no more")
			}
			return dial(ctx)
		}
		_, err := b.Claim(t.Context(), "key", claiming(newToken()))
		if err := oneOf(err, nil); err != nil || dials.Load() != 2 {
			t.Errorf("%v after %d dials", err, dials.Load())
		}
		// Use the second up.
		_ = fetch(t, open(t, newPool(t, proxy.Addr())), "key")
	})
}

// All idle connections are dead, as after a restart.
func TestDeadIdleConnections(t *testing.T) {
	server := redistest.Start(t)
	pool := newPool(t, server.Addr())
	b := open(t, pool)
	record := take(t, b, "key")
	conns := make([]redis.Conn, 20)
	for i := range conns {
		conns[i] = pool.Get()
	}
	for _, conn := range conns {
		conn.Close()
	}
	if n := pool.IdleCount(); n < len(conns) {
		t.Fatalf("%d connections are idle", n)
	}
	result := wait(t, b, "key", record.Token)
	until(t, "somebody listens", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 1 })
	server.Restart(t)
	record, err := b.Claim(t.Context(), "new", claiming(newToken()))
	if err != nil || record.State != backend.Claimed {
		t.Errorf("a claim after a restart: %+v, %v", record, err)
	}
	woken(t, result, backend.Vacant) // the server forgot the key
}

func TestSubscriptionKilledWhileWaiting(t *testing.T) {
	server := redistest.Start(t)
	b, other := openAt(t, newPool(t, server.Addr()), ""), openAt(t, newPool(t, server.Addr()), "")
	for n := range 5 {
		key := fmt.Sprint("key", n)
		record := take(t, b, key)
		result := wait(t, b, key, record.Token)
		until(t, "somebody listens", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 1 })
		server.Do(t, "CLIENT", "KILL", "TYPE", "pubsub")
		if n%2 == 0 {
			until(t, "somebody listens again", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 1 })
		}
		complete(t, other, key, record, "outcome")
		woken(t, result, backend.Completed)
		until(t, "nobody listens", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 0 })
	}
}

// The pool's read timeout is meant for replies; and a silence is broken by PING.
func TestSubscriptionOutlastsTheReadTimeout(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr(), redis.DialReadTimeout(200*time.Millisecond)))
	record := take(t, b, "key")
	result := wait(t, b, "key", record.Token)
	var first, now string
	list := func() string {
		list := server.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string)
		now, _, _ = strings.Cut(list, " ")
		return list
	}
	until(t, "somebody listens", func() bool { return strings.Contains(list(), " sub=1 ") })
	first = now
	until(t, "a PING was sent", func() bool { return strings.Contains(list(), " cmd=ping ") })
	until(t, "it was answered long ago", func() bool { return strings.Contains(list(), " idle=1 ") })
	if now != first {
		t.Errorf("the subscription's connection was %q and is %q", first, now)
	}
	complete(t, b, "key", record, "outcome")
	woken(t, result, backend.Completed)
}

// The server closes the connection of a subscriber that doesn't read fast enough.
func TestSlowSubscriber(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "CONFIG", "SET", "client-output-buffer-limit", "pubsub 16kb 0 0")
	b := openAt(t, newPool(t, server.Addr()), "")
	record := take(t, b, "key")
	result := wait(t, b, "key", record.Token)
	channels := func() []any { return server.Do(t, "PUBSUB", "CHANNELS").([]any) }
	until(t, "somebody listens", func() bool { return len(channels()) == 1 })
	channel := channels()[0].(string)
	connection := func() string { // the ID of the one that listens; empty without one
		id, _, _ := strings.Cut(server.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string), " ")
		return id
	}
	before := connection()
	server.Do(t, "PUBLISH", channel, string(make([]byte, 1<<20)))
	until(t, "the subscriber was closed and is back", func() bool {
		now := connection()
		return len(channels()) == 1 && now != "" && now != before
	})
	complete(t, b, "key", record, "outcome")
	woken(t, result, backend.Completed)
}

// Messages are hints: strangers' change nothing.
func TestStrangeMessages(t *testing.T) {
	addr := redistest.Address(t)
	prefix := redistest.Prefix(t)
	b := openAt(t, newPool(t, addr), prefix)
	record := take(t, b, "key")
	result := wait(t, b, "key", record.Token)
	until(t, "somebody listens", func() bool { return subscribers(t, addr, prefix) == 1 })
	channel := redistest.Do(t, addr, "PUBSUB", "CHANNELS", prefix+"*").([]any)[0].(string)
	for _, message := range []string{"", "x", "\xc1\x13", string(bytes.Repeat([]byte{0xc1}, 5000))} {
		redistest.Do(t, addr, "PUBLISH", channel, message)
	}
	_ = fetch(t, b, "key")
	select {
	case w := <-result:
		t.Fatalf("a strange message ended a wait: %+v, %v", w.record, w.err)
	default:
	}
	complete(t, b, "key", record, "outcome")
	woken(t, result, backend.Completed)
}

func TestScriptFlush(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	for n, outcome := range []string{"small", string(make([]byte, 50_000))} {
		key := strconv.Itoa(n)
		server.Do(t, "SCRIPT", "FLUSH")
		record := take(t, b, key)
		server.Do(t, "SCRIPT", "FLUSH")
		if got, err := b.Claim(t.Context(), key, claiming(newToken())); err != nil || got.Token != record.Token || got.LeaseLeft <= 0 {
			t.Errorf("a lost claim: %+v, %v", got, err)
		}
		server.Do(t, "SCRIPT", "FLUSH")
		complete(t, b, key, record, outcome)
		server.Do(t, "SCRIPT", "FLUSH")
		if got := fetch(t, b, key); string(got.Outcome) != outcome {
			t.Errorf("fetched %d bytes", len(got.Outcome))
		}
		server.Do(t, "SCRIPT", "FLUSH")
		if err := b.Forget(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

func TestFlushAllWhileWaiting(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	request := claiming(newToken())
	request.Lease = time.Second
	if _, err := b.Claim(t.Context(), "key", request); err != nil {
		t.Fatal(err)
	}
	result := wait(t, b, "key", request.Token)
	until(t, "somebody listens", func() bool { return len(server.Do(t, "PUBSUB", "CHANNELS").([]any)) == 1 })
	server.Do(t, "FLUSHALL")
	woken(t, result, backend.Vacant)
}

// The holder is dead, and the server has so many other keys to expire that it
// wouldn't tell in time that this one is over.
func TestDeadHolderAmongManyVolatileKeys(t *testing.T) {
	server := redistest.Start(t)
	conn, err := redis.Dial("tcp", server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for n := range 20_000 {
		_ = conn.Send("SET", "other"+strconv.Itoa(n), "x", "PX", 1_000_000+n)
	}
	if _, err := conn.Do(""); err != nil {
		t.Fatal(err)
	}
	b := open(t, newPool(t, server.Addr()))
	request := claiming(newToken())
	request.Lease, request.Keep = 200*time.Millisecond, time.Hour
	if _, err := b.Claim(t.Context(), "kept", request); err != nil {
		t.Fatal(err)
	}
	woken(t, wait(t, b, "kept", request.Token), backend.Abandoned)
	request.Keep = time.Millisecond
	if _, err := b.Claim(t.Context(), "gone", request); err != nil {
		t.Fatal(err)
	}
	woken(t, wait(t, b, "gone", request.Token), backend.Vacant)
}
