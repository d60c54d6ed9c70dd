package goredis_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What each verb sends.
func TestCommands(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, redislib.NewClient(quiet(server.Addr())), "")
	ctx := t.Context()
	// Scripts are loaded, and the server's mode is known, after the first use.
	tok := token()
	take(t, store, "warm", tok)
	complete(t, store, "warm", tok, "outcome")
	complete(t, store, "warm, large", token(), strings.Repeat("x", 100_000))
	_, _ = store.Fetch(ctx, "warm")
	_, _ = store.Claim(ctx, "warm", backend.ClaimRequest{Token: tok, Lease: time.Second, Keep: time.Second, Seen: 1})
	if err := store.Forget(ctx, "warm"); err != nil {
		t.Fatal(err)
	}

	a, b, c := token(), token(), token()
	var held backend.Record
	for _, step := range []struct {
		name string
		do   func() error
		want []string
	}{
		{"fresh claim", func() (err error) { held, err = store.Claim(ctx, "k", taking(a)); return err }, []string{"SET"}},
		{"lost claim", func() error { _, err := store.Claim(ctx, "k", taking(b)); return err }, []string{"SET", "EVALSHA"}},
		{"repeated claim", func() error { _, err := store.Claim(ctx, "k", taking(a)); return err }, []string{"SET", "EVALSHA"}},
		{"renewal", func() error {
			request := taking(a)
			request.Renewal, request.Attempt, request.Fence = true, 1, held.Fence
			_, err := store.Claim(ctx, "k", request)
			return err
		}, []string{"EVALSHA"}},
		{"fetch", func() error { _, err := store.Fetch(ctx, "k"); return err }, []string{"EVALSHA"}},
		{"commit", func() error { return store.Commit(ctx, "k", completing(a, "outcome")) }, []string{"EVALSHA"}},
		{"replay", func() error { _, err := store.Claim(ctx, "k", taking(b)); return err }, []string{"SET"}},
		{"wait for nobody", func() error { _, err := store.Wait(ctx, "k", backend.Token{}); return err }, []string{"EVALSHA"}},
		{"forget", func() error { return store.Forget(ctx, "k") }, []string{"EVALSHA"}},
		{"large: claim", func() (err error) { held, err = store.Claim(ctx, "k", taking(c)); return err }, []string{"SET"}},
		{"large: commit", func() error {
			request := completing(c, strings.Repeat("x", 100_000))
			request.Fence = held.Fence
			return store.Commit(ctx, "k", request)
		}, []string{"SET", "EVALSHA"}},
		{"large: replay", func() error { _, err := store.Claim(ctx, "k", taking(b)); return err }, []string{"SET"}},
	} {
		monitor := redistest.Watch(t, server.Addr())
		err := step.do()
		sent := monitor.Stop()
		if err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if !slices.Equal(sent, step.want) {
			t.Errorf("%s sends %q, want %q", step.name, sent, step.want)
		}
	}
}

// However many wait for a key, a process subscribes once, looks once, and needs
// no command for the answer of a small outcome and one for that of a large one.
func TestCommandsOfManyWaiters(t *testing.T) {
	for name, outcome := range map[string]string{"small": "outcome", "large": strings.Repeat("x", 100_000)} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			holder := open(t, redislib.NewClient(quiet(server.Addr())), "")
			store := open(t, redislib.NewClient(quiet(server.Addr())), "")
			tok := token()
			held := take(t, holder, "k", tok)
			_, _ = store.Fetch(t.Context(), "warm")
			_, _ = holder.Fetch(t.Context(), "warm")

			monitor := redistest.Watch(t, server.Addr())
			var waits []chan waited
			for range 1000 {
				waits = append(waits, wait(t.Context(), store, "k", tok))
			}
			name := record(t, "", "k")
			eventually(t, "a subscription", func() bool { return subscribers(t, server.Addr(), name) == 1 })
			// The waiters' look is answered when a later command is.
			for range 10 {
				_, _ = store.Fetch(t.Context(), "other")
			}
			before := without(monitor.Stop(), "PUBSUB NUMSUB")
			looks := count(before, "EVALSHA") - 10
			if count(before, "SUBSCRIBE") != 1 || looks > 2 || len(before) > 13 {
				t.Errorf("before the commit: %d SUBSCRIBE, %d looks, %d commands", count(before, "SUBSCRIBE"), looks, len(before))
			}

			monitor = redistest.Watch(t, server.Addr())
			request := completing(tok, outcome)
			request.Fence = held.Fence
			if err := holder.Commit(t.Context(), "k", request); err != nil {
				t.Fatal(err)
			}
			for _, w := range waits {
				r := <-w
				if r.err != nil || r.record.State != backend.Completed || string(r.record.Outcome) != outcome {
					t.Fatal(r.record.State, r.err)
				}
			}
			eventually(t, "no subscription", func() bool { return subscribers(t, server.Addr(), name) == 0 })
			after := without(monitor.Stop(), "PUBSUB NUMSUB")
			want := 2 // commit, unsubscribe
			if len(outcome) > 4096 {
				want = 4 // the side key, and one look
			}
			want += max(0, 2-looks) // a look that was under way above
			after = slices.DeleteFunc(after, func(c string) bool { return c == "SCRIPT LOAD" || c == "EVAL" })
			if len(after) > want {
				t.Errorf("after the commit: %q, want at most %d commands", after, want)
			}
		})
	}
}

func count(commands []string, name string) (n int) {
	for _, command := range commands {
		if command == name {
			n++
		}
	}
	return n
}

func without(commands []string, name string) []string {
	return slices.DeleteFunc(commands, func(c string) bool { return c == name })
}

// A client that caches reads answers no verb from its cache.
func TestNoVerbReadsAClientsCache(t *testing.T) {
	addr := redistest.Address(t)
	prefix := redistest.Prefix(t)
	cached := open(t, redislib.NewClient(&redislib.Options{
		Addr: addr, Protocol: 3, ClientSideCacheConfig: &redislib.ClientSideCacheConfig{},
	}), prefix)
	other := open(t, redislib.NewClient(quiet(addr)), prefix)
	for range 300 {
		key, tok := rand16(), token()
		if r, err := cached.Fetch(t.Context(), key); err != nil || !r.Unknown() {
			t.Fatal(r, err)
		}
		take(t, other, key, tok)
		if r, err := cached.Fetch(t.Context(), key); err != nil || r.State != backend.Claimed {
			t.Fatal("a fetch after an acknowledged claim:", r.State, err)
		}
		complete(t, other, key, tok, "outcome")
		if r, err := cached.Fetch(t.Context(), key); err != nil || r.State != backend.Completed {
			t.Fatal("a fetch after an acknowledged commit:", r.State, err)
		}
		if r, err := cached.Wait(t.Context(), key, tok); err != nil || r.State != backend.Completed {
			t.Fatal("a wait after an acknowledged commit:", r.State, err)
		}
	}
}

func rand16() string {
	t := token()
	return string(t[:])
}
