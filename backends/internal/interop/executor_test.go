package interop

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

func newExecutor(tb testing.TB, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	tb.Helper()
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// each runs the test once per client.
func each(t *testing.T, test func(t *testing.T, connect connect)) {
	for name, connect := range clients {
		t.Run(name, func(t *testing.T) { test(t, connect) })
	}
}

func TestCommandsOfACall(t *testing.T) {
	each(t, func(t *testing.T, connect connect) {
		server := redistest.Start(t)
		x := newExecutor(t, connect(t, server.Addr(), "t:"), idempotency.Options{})
		answer := func(context.Context) (string, error) { return "answer", nil }
		count := func(what string, want int, do func()) {
			t.Helper()
			monitor := redistest.Watch(t, server.Addr())
			do()
			if sent := monitor.Stop(); len(sent) != want {
				t.Errorf("%s: sent %q, want %d commands", what, sent, want)
			}
		}
		count("a fresh run", 2, func() { idempotency.Run(t.Context(), x, "k", answer) })
		count("a replay", 1, func() { idempotency.Run(t.Context(), x, "k", answer) })
		count("a recorded error", 2, func() {
			idempotency.Run(t.Context(), x, "e", func(context.Context) (string, error) { return "", errors.New("declined") })
		})
		count("1,000 callers of one key", 2, func() {
			var wg sync.WaitGroup
			release := make(chan struct{})
			joined := make(chan struct{}, 1000)
			for range 1000 {
				wg.Go(func() {
					joined <- struct{}{}
					v, err := idempotency.Run(t.Context(), x, "herd", func(context.Context) (string, error) { <-release; return "answer", nil })
					if v != "answer" || err != nil {
						t.Errorf("%q, %v", v, err)
					}
				})
			}
			for range 1000 {
				<-joined
			}
			time.AfterFunc(50*time.Millisecond, func() { close(release) })
			wg.Wait()
		})
	})
}

// 1,000 callers in each of two processes: what a process sends doesn't depend on
// how many wait in it.
func TestCommandsOfAHerdInTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, connect connect) {
		server := redistest.Start(t)
		runner := newExecutor(t, connect(t, server.Addr(), "t:"), idempotency.Options{})
		herd := newExecutor(t, connect(t, server.Addr(), "t:"), idempotency.Options{})
		for _, x := range []*idempotency.Executor{runner, herd} {
			// Rueidis takes one of its connections at random, and opens it then.
			for range 64 {
				if _, err := x.Lookup(t.Context(), "opens the connections"); err != nil {
					t.Fatal(err)
				}
			}
		}
		connections := func() int {
			list := redistest.Do(t, server.Addr(), "CLIENT", "LIST").(string)
			return strings.Count(list, "\n")
		}
		base := connections()
		monitor := redistest.Watch(t, server.Addr())
		release, running := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			idempotency.Run(t.Context(), runner, "k", func(context.Context) (string, error) {
				close(running)
				<-release
				return "answer", nil
			})
		})
		<-running
		for range 1000 {
			wg.Go(func() {
				v, err := idempotency.Run(t.Context(), herd, "k", func(context.Context) (string, error) {
					t.Error("ran twice")
					return "", nil
				})
				if v != "answer" || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			})
		}
		// One subscription, whatever N; it is there once the server says so.
		eventually(t, func() bool {
			reply := redistest.Do(t, server.Addr(), "PUBSUB", "CHANNELS", "t:*").([]any)
			return len(reply) == 1
		})
		if extra := connections() - base; extra > 2 { // the monitor's is one of them
			t.Errorf("%d connections more than before, one is the monitor's", extra)
		}
		time.AfterFunc(50*time.Millisecond, func() { close(release) })
		wg.Wait()
		eventually(t, func() bool { return len(redistest.Do(t, server.Addr(), "PUBSUB", "CHANNELS", "t:*").([]any)) == 0 })
		sent := monitor.Stop()
		var counted []string
		for _, command := range sent {
			if command != "PUBSUB CHANNELS" && command != "PUBSUB" {
				counted = append(counted, command)
			}
		}
		// The runner's 2, and at most 4 + 3 of the herd.
		if len(counted) > 2+4+3 {
			t.Errorf("sent %d commands: %q", len(counted), counted)
		}
	})
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("it never held")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestNoKeyWithoutATTLAndNothingLeftBehind(t *testing.T) {
	keys := 100_000
	if testing.Short() {
		keys = 5_000
	}
	each(t, func(t *testing.T, connect connect) {
		server := redistest.Start(t)
		x := newExecutor(t, connect(t, server.Addr(), "t:"), idempotency.Options{})
		var wg sync.WaitGroup
		for w := range 50 {
			wg.Go(func() {
				for i := w; i < keys; i += 50 {
					if err := idempotency.Exec(t.Context(), x, fmt.Sprint("k", i), func(context.Context) error { return nil }); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		info := redistest.Do(t, server.Addr(), "INFO", "keyspace").(string)
		if want := fmt.Sprintf("keys=%d,expires=%d", keys, keys); !strings.Contains(info, want) {
			t.Errorf("keyspace %q, want %s", info, want)
		}
		if channels := redistest.Do(t, server.Addr(), "PUBSUB", "CHANNELS").([]any); len(channels) != 0 {
			t.Errorf("%d channels are left", len(channels))
		}
	})
}
