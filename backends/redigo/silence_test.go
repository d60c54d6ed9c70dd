package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

// verbs are all of them, each so that it needs the server.
var verbs = map[string]func(ctx context.Context, b *redigo.Backend) error{
	"claim": func(ctx context.Context, b *redigo.Backend) error {
		_, err := b.Claim(ctx, "key", claiming(newToken()))
		return err
	},
	"takeover": func(ctx context.Context, b *redigo.Backend) error {
		request := claiming(newToken())
		request.Seen = 7
		_, err := b.Claim(ctx, "key", request)
		return err
	},
	"commit": func(ctx context.Context, b *redigo.Backend) error {
		return b.Commit(ctx, "key", completing(newToken(), "outcome"))
	},
	"large commit": func(ctx context.Context, b *redigo.Backend) error {
		return b.Commit(ctx, "key", completing(newToken(), large))
	},
	"wait": func(ctx context.Context, b *redigo.Backend) error {
		_, err := b.Wait(ctx, "key", newToken())
		return err
	},
	"look": func(ctx context.Context, b *redigo.Backend) error {
		_, err := b.Wait(ctx, "key", backend.Token{})
		return err
	},
	"fetch":  func(ctx context.Context, b *redigo.Backend) error { _, err := b.Fetch(ctx, "key"); return err },
	"forget": func(ctx context.Context, b *redigo.Backend) error { return b.Forget(ctx, "key") },
}

// large doesn't fit into the buffers of a connection, so that writing blocks.
var large = strings.Repeat("o", 16<<20)

// endsWithCtx runs every verb on a backend whose server is silent, and expects
// each to return when its ctx ends, by deadline and by cancel.
func endsWithCtx(t *testing.T, b *redigo.Backend) {
	t.Helper()
	var slowest time.Duration
	slow := ""
	for name, verb := range verbs {
		for _, cancelled := range []bool{false, true} {
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
			if cancelled {
				cancel()
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(20*time.Millisecond, cancel)
			}
			ended := make(chan time.Time, 1)
			context.AfterFunc(ctx, func() { ended <- time.Now() })
			result := make(chan error, 1)
			go func() { result <- verb(ctx, b) }()
			select {
			case err := <-result:
				if !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
					t.Errorf("%s, cancelled %v: %v, its ctx says %v", name, cancelled, err, ctx.Err())
				}
				if late := time.Since(<-ended); late > slowest {
					slowest, slow = late, name
				}
			case <-time.After(patience / 2):
				t.Errorf("%s, cancelled %v: hasn't returned", name, cancelled)
			}
			cancel()
		}
	}
	t.Logf("the slowest verb, %s, returned %v after its ctx had ended", slow, slowest)
}

func TestSilentServer(t *testing.T) {
	server := redistest.Start(t)
	bare := func(ctx context.Context) (redis.Conn, error) { return redis.DialContext(ctx, "tcp", server.Addr()) }
	for name, pool := range map[string]*redis.Pool{
		"plain":   {MaxIdle: 32, DialContext: bare},
		"no idle": {MaxIdle: 0, DialContext: bare},
		"read timeout": {MaxIdle: 32, DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", server.Addr(), redis.DialReadTimeout(time.Hour), redis.DialWriteTimeout(time.Hour))
		}},
		"dial without ctx": {MaxIdle: 32, Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", server.Addr(), redis.DialDatabase(1))
		}},
		"dial that ignores its ctx": {MaxIdle: 32, DialContext: func(context.Context) (redis.Conn, error) {
			return redis.Dial("tcp", server.Addr(), redis.DialDatabase(1))
		}},
		"commands while dialling": {DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", server.Addr(), redis.DialClientName("name"))
		}},
		"test on borrow": {MaxIdle: 32, DialContext: bare, TestOnBorrow: func(c redis.Conn, _ time.Time) error {
			_, err := c.Do("PING")
			return err
		}},
		"one that waits": {MaxIdle: 1, MaxActive: 1, Wait: true, DialContext: bare},
		"wrapped": {MaxIdle: 32, DialContext: func(ctx context.Context) (redis.Conn, error) {
			conn, err := redis.DialContext(ctx, "tcp", server.Addr(), redis.DialReadTimeout(patience), redis.DialWriteTimeout(patience))
			return wrapped{conn}, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer pool.Close()
			b := open(t, pool)
			fill(t, b, pool)
			server.Pause(t)
			func() {
				defer server.Resume(t)
				endsWithCtx(t, b)
			}()
			until(t, "the backend works", func() bool { _, err := b.Fetch(t.Context(), "key"); return err == nil })
			if err := b.Forget(t.Context(), "key"); err != nil {
				t.Error(err)
			}
		})
	}
}

// fill makes as many connections idle as the pool keeps.
func fill(t *testing.T, b *redigo.Backend, pool *redis.Pool) {
	t.Helper()
	_ = fetch(t, b, "warm")
	conns := make([]redis.Conn, pool.MaxIdle)
	for i := range conns {
		conns[i] = pool.Get()
	}
	for _, conn := range conns {
		conn.Close()
	}
	if n := pool.IdleCount(); n != pool.MaxIdle {
		t.Fatalf("%d connections are idle", n)
	}
}

// wrapped is a connection as applications wrap them for logs and traces: it
// hides what else the connection can do.
type wrapped struct{ redis.Conn }

// A server that accepts connections and says nothing, not even in a handshake.
func TestSilentHandshake(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for name, pool := range map[string]*redis.Pool{
		"with ctx": {DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", listener.Addr().String(), redis.DialUseTLS(true), redis.DialTLSHandshakeTimeout(time.Second))
		}},
		"without ctx": {Wait: true, MaxActive: 1, Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", listener.Addr().String(), redis.DialUseTLS(true), redis.DialTLSHandshakeTimeout(time.Second))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer pool.Close()
			b := open(t, pool)
			endsWithCtx(t, b)
			until(t, "the pool is empty", func() bool { return pool.ActiveCount() == 0 })
		})
	}
}

// The idle connections turn out to be too old, and the server that is dialled then
// says nothing.
func TestSilentDialInPlaceOfIdleConnection(t *testing.T) {
	addr := redistest.Address(t)
	for name, expire := range map[string]func(*redis.Pool){
		"lifetime":     func(pool *redis.Pool) { pool.MaxConnLifetime = 1 },
		"idle timeout": func(pool *redis.Pool) { pool.IdleTimeout = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			var silent atomic.Bool
			pool := &redis.Pool{MaxIdle: 32, DialContext: func(ctx context.Context) (redis.Conn, error) {
				if silent.Load() {
					return redis.DialContext(ctx, "tcp", listener.Addr().String(),
						redis.DialUseTLS(true), redis.DialTLSHandshakeTimeout(patience))
				}
				return redis.DialContext(ctx, "tcp", addr)
			}}
			defer pool.Close()
			b := open(t, pool)
			fill(t, b, pool)
			silent.Store(true)
			expire(pool)
			for name, verb := range verbs {
				if name == "wait" {
					continue // it looks once, not at once
				}
				fill := pool.IdleCount()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
				result := make(chan error, 1)
				go func() { result <- verb(ctx, b) }()
				select {
				case err := <-result:
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s with %d idle connections: %v", name, fill, err)
					}
				case <-time.After(patience / 2):
					t.Errorf("%s with %d idle connections: hasn't returned", name, fill)
				}
				cancel()
			}
		})
	}
}

// The pool's only connection is the application's for now.
func TestPoolInUse(t *testing.T) {
	pool := newPool(t, redistest.Address(t))
	pool.MaxActive, pool.Wait = 1, true
	b := open(t, pool)
	_ = fetch(t, b, "warm")
	conn := pool.Get()
	endsWithCtx(t, b)
	_, err := b.Claim(withTimeout(t, 20*time.Millisecond), "key", claiming(newToken()))
	if err := oneOf(err, backend.ErrNotApplied); err != nil {
		t.Errorf("a claim that never got a connection: %v", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v isn't the ctx's error", err)
	}
	conn.Close()
	_ = fetch(t, b, "key")
}

// A dial that ends after the verb has returned: its connection goes into the pool,
// and nothing was sent.
func TestNothingIsSentForNobody(t *testing.T) {
	addr := redistest.Address(t)
	release := make(chan struct{})
	var slow atomic.Bool
	pool := &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) {
		if slow.Load() {
			<-release
		}
		return redis.Dial("tcp", addr)
	}}
	defer pool.Close()
	prefix := redistest.Prefix(t)
	b := openAt(t, pool, prefix)
	_ = fetch(t, b, "warm")
	inUse := pool.Get()
	defer inUse.Close()
	slow.Store(true)
	for name, verb := range map[string]func(ctx context.Context) error{
		"claim": func(ctx context.Context) error { _, err := b.Claim(ctx, "claimed", claiming(newToken())); return err },
		"commit": func(ctx context.Context) error {
			request := completing(newToken(), "outcome")
			request.LeaseHeld = true
			return b.Commit(ctx, "committed", request)
		},
	} {
		err := verb(withTimeout(t, 20*time.Millisecond))
		if wrong := oneOf(err, backend.ErrNotApplied); wrong != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, %v", name, err, wrong)
		}
	}
	close(release)
	until(t, "the connections are in the pool", func() bool { return pool.IdleCount() == 2 })
	other := openAt(t, newPool(t, addr), prefix)
	for _, key := range []string{"claimed", "committed"} {
		if record := fetch(t, other, key); !record.Unknown() {
			t.Errorf("%s is %+v", key, record)
		}
	}
}

func withTimeout(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

// A timeout of the pool's own is no ctx's error, and says nothing of the outcome.
func TestReadTimeoutOfThePool(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr(), redis.DialReadTimeout(50*time.Millisecond)))
	record := take(t, b, "key")
	server.Pause(t)
	defer server.Resume(t)
	for name, verb := range map[string]func(ctx context.Context) error{
		"claim":  func(ctx context.Context) error { _, err := b.Claim(ctx, "new", claiming(newToken())); return err },
		"commit": func(ctx context.Context) error { return b.Commit(ctx, "key", completing(record.Token, "o")) },
	} {
		for how, ctx := range map[string]context.Context{"ctx": withTimeout(t, time.Hour), "background": context.Background()} {
			err := verb(ctx)
			if err := oneOf(err, nil); err != nil {
				t.Error(err)
			}
			if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %s: %v, want redigo's timeout", name, how, err)
			}
		}
	}
}

// Others use the pool while commands are interrupted at any moment: nobody reads
// another's reply.
func TestInterruptedConnectionsAreNotReused(t *testing.T) {
	proxy := newProxy(t, redistest.Address(t), delays)
	pool := newPool(t, proxy.Addr())
	pool.MaxActive, pool.MaxIdle, pool.Wait = 3, 3, true
	b := open(t, pool)
	_ = fetch(t, b, "warm")
	stop := make(chan struct{})
	failed := make(chan error, 2)
	for user := range cap(failed) {
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					failed <- nil
					return
				default:
				}
				conn, want := pool.Get(), fmt.Sprintf("%d-%d", user, n)
				got, err := redis.String(conn.Do("ECHO", want))
				conn.Close()
				if err != nil || got != want {
					failed <- fmt.Errorf("an application that echoes %q reads %q, %v", want, got, err)
					return
				}
			}
		}()
	}
	interrupted := 0
	for n := range 400 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%40)*100*time.Microsecond)
		key := fmt.Sprint(n)
		record, err := b.Claim(ctx, key, claiming(newToken()))
		if err == nil {
			err = b.Commit(ctx, key, completing(record.Token, key))
		}
		if err == nil {
			if record, err = b.Fetch(ctx, key); err == nil && string(record.Outcome) != key {
				t.Errorf("the outcome of %s is %q", key, record.Outcome)
			}
		}
		if err != nil {
			interrupted++
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", key, err)
			}
		}
		cancel()
	}
	close(stop)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if interrupted < 10 || interrupted > 390 {
		t.Errorf("%d of 400 were interrupted: the test tests little", interrupted)
	}
}
