package goredis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// verbs are all verbs on a key.
func verbs(store *goredis.Backend, key string, tok backend.Token) map[string]func(ctx context.Context) error {
	large := make([]byte, 100_000)
	return map[string]func(ctx context.Context) error{
		"claim": func(ctx context.Context) error { _, err := store.Claim(ctx, key, taking(tok)); return err },
		"renewal": func(ctx context.Context) error {
			request := taking(tok)
			request.Renewal, request.Attempt = true, 1
			_, err := store.Claim(ctx, key, request)
			return err
		},
		"complete":        func(ctx context.Context) error { return store.Commit(ctx, key, completing(tok, "outcome")) },
		"complete, large": func(ctx context.Context) error { return store.Commit(ctx, key, completing(tok, string(large))) },
		"release":         func(ctx context.Context) error { return store.Commit(ctx, key, ending(tok, backend.Release)) },
		"abandon":         func(ctx context.Context) error { return store.Commit(ctx, key, ending(tok, backend.Abandon)) },
		"wait":            func(ctx context.Context) error { _, err := store.Wait(ctx, key, tok); return err },
		"look":            func(ctx context.Context) error { _, err := store.Wait(ctx, key, backend.Token{}); return err },
		"fetch":           func(ctx context.Context) error { _, err := store.Fetch(ctx, key); return err },
		"forget":          func(ctx context.Context) error { return store.Forget(ctx, key) },
	}
}

// A silent server holds no verb longer than its ctx, however the ctx ends and
// whether or not the connections were open before.
func TestSilentServer(t *testing.T) {
	server := redistest.Start(t)
	connect := func() *goredis.Backend {
		return open(t, redislib.NewClient(&redislib.Options{
			Addr: server.Addr(), ReadTimeout: 3 * time.Second, DialTimeout: 3 * time.Second, DisableIdentity: true,
		}), "")
	}
	const limit = 200 * time.Millisecond
	ends := map[string]struct {
		end  error
		make func() (context.Context, context.CancelFunc)
	}{
		"deadline": {context.DeadlineExceeded, func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), limit)
		}},
		"cancel": {context.Canceled, func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(limit, cancel)
			return ctx, func() { timer.Stop(); cancel() }
		}},
	}
	for _, connected := range []bool{true, false} {
		store := connect()
		if connected {
			take(t, store, "warm", token())
			complete(t, store, "warm2", token(), "outcome")
		}
		server.Pause(t)
		for name, end := range ends {
			for verb, call := range verbs(store, "k", token()) {
				ctx, cancel := end.make()
				begin := time.Now()
				err := call(ctx)
				took := time.Since(begin)
				cancel()
				if !errors.Is(err, end.end) {
					t.Errorf("%s, connected %v: %s answers %v, want %v", name, connected, verb, err, end.end)
				}
				// Generous: two cores may be busy. The client's own timeouts are
				// far beyond it.
				if took > limit+time.Second {
					t.Errorf("%s, connected %v: %s took %v, its ctx ended after %v", name, connected, verb, took, limit)
				}
			}
		}
		server.Resume(t)
		eventually(t, "the server answers again", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := store.Fetch(ctx, "warm")
			return err == nil
		})
	}
}

// A ctx that has ended sends nothing.
func TestEndedCtx(t *testing.T) {
	store := open(t, redislib.NewClient(quiet("127.0.0.1:1")), "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for verb, call := range verbs(store, "k", token()) {
		if err := call(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrNotApplied) {
			t.Errorf("%s: %v, want one that is Canceled and ErrNotApplied", verb, err)
		}
	}
}
