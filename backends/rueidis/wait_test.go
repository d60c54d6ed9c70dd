package rueidis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

// waiters wait for a key in goroutines of their own.
type waiters struct {
	cancel  context.CancelFunc
	group   sync.WaitGroup
	mu      sync.Mutex
	records []backend.Record
	errs    []error
}

func wait(t *testing.T, b backend.Backend, key string, token backend.Token, n int) *waiters {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	w := &waiters{cancel: cancel}
	for range n {
		w.group.Go(func() {
			record, err := b.Wait(ctx, key, token)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.records, w.errs = append(w.records, record), append(w.errs, err)
		})
	}
	t.Cleanup(func() {
		cancel()
		w.group.Wait()
	})
	return w
}

// woken expects that all return soon, completed with the outcome.
func (w *waiters) woken(t *testing.T, outcome string) {
	t.Helper()
	w.returned(t)
	for i, record := range w.records {
		if w.errs[i] != nil || record.State != backend.Completed || string(record.Outcome) != outcome {
			t.Fatalf("a waiter returned %v with %q, %v", record.State, record.Outcome, w.errs[i])
		}
	}
}

func (w *waiters) returned(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		w.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(9 * time.Second): // less than backend.MaxSleep, and than the lease
		t.Fatal("a waiter was not woken")
	}
}

// channels are the channels of the prefix that anybody is subscribed to.
func channels(t *testing.T, addr, prefix string) int {
	t.Helper()
	names, _ := redistest.Do(t, addr, "PUBSUB", "CHANNELS", prefix+"*").([]any)
	return len(names)
}

func subscribed(t *testing.T, addr, prefix string, want int) {
	t.Helper()
	eventually(t, "the channels of the server", func() error {
		if n := channels(t, addr, prefix); n != want {
			return fmt.Errorf("there are %d, want %d", n, want)
		}
		return nil
	})
}

func connections(t *testing.T, addr string) int {
	t.Helper()
	clients := redistest.Do(t, addr, "CLIENT", "LIST").(string)
	return strings.Count(clients, "\n")
}

func TestCancelledWaitsLeaveNothing(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		b := connect()
		complete(t, b, "warm", "")
		before := connections(t, server.Addr())
		var all []*waiters
		for i := range 100 {
			key, holder := fmt.Sprint("key ", i), token()
			take(t, b, key, taking(holder))
			all = append(all, wait(t, b, key, holder, 2))
		}
		subscribed(t, server.Addr(), "", 100)
		if n := connections(t, server.Addr()); n > before+1 {
			t.Errorf("100 waited keys have %d connections more", n-before)
		}
		for _, w := range all {
			w.cancel()
		}
		for _, w := range all {
			w.returned(t)
			for _, err := range w.errs {
				is(t, "a cancelled Wait", err, context.Canceled)
			}
		}
		subscribed(t, server.Addr(), "", 0)
		if err := b.Forget(within(t), "key 7"); err != nil {
			t.Fatal(err)
		}
		// The same channel again, and again.
		holder := token()
		take(t, b, "key 7", taking(holder))
		for range 20 {
			w := wait(t, b, "key 7", holder, 1)
			w.cancel()
			w.returned(t)
		}
		w := wait(t, b, "key 7", holder, 1)
		subscribed(t, server.Addr(), "", 1)
		if err := b.Commit(within(t), "key 7", completing(holder, "answer")); err != nil {
			t.Fatal(err)
		}
		w.woken(t, "answer")
		subscribed(t, server.Addr(), "", 0)
	})
}

func TestHundredWaiters(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		a, b := connect(), connect()
		for _, outcome := range []string{"small", strings.Repeat("large ", 4000)} {
			key, holder := fmt.Sprint(len(outcome)), token()
			take(t, a, key, taking(holder))
			// Whatever the scripts' first use costs is not counted.
			if _, err := b.Fetch(within(t), key); err != nil {
				t.Fatal(err)
			}
			var w *waiters
			commands := sent(t, server.Addr(), func() {
				w = wait(t, b, key, holder, 100)
				subscribed(t, server.Addr(), "", 1)
			})
			own := 0
			for _, command := range commands {
				if command != "PUBSUB CHANNELS" {
					own++
				}
			}
			if own > 4 {
				t.Errorf("100 waiters sent %q", commands)
			}
			if err := a.Commit(within(t), key, completing(holder, outcome)); err != nil {
				t.Fatal(err)
			}
			w.woken(t, outcome)
			subscribed(t, server.Addr(), "", 0)
		}
	})
}

func TestWaitOutlivesFaults(t *testing.T) {
	server := redistest.Start(t)
	faults := map[string]func(t *testing.T){
		"killed pub/sub connections": func(t *testing.T) {
			server.Do(t, "CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
		},
		"killed connections": func(t *testing.T) {
			server.Do(t, "CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
			server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		},
		"flushed scripts": func(t *testing.T) { server.Do(t, "SCRIPT", "FLUSH") },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
				a, b := connect(), connect()
				holder := token()
				take(t, a, "key", taking(holder))
				w := wait(t, b, "key", holder, 10)
				subscribed(t, server.Addr(), "", 1)
				for range 3 {
					fault(t)
				}
				eventually(t, "the commit", func() error {
					return a.Commit(t.Context(), "key", completing(holder, "answer"))
				})
				w.woken(t, "answer")
				subscribed(t, server.Addr(), "", 0)
			})
		})
	}
}

// Nothing is published for keys that a FLUSHALL removes.
func TestFlushWhileWaiting(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		b := connect()
		request := taking(token())
		request.Lease = 2 * time.Second
		take(t, b, "key", request)
		if _, err := b.Fetch(within(t), "key"); err != nil { // loads the script
			t.Fatal(err)
		}
		looks := func() string {
			_, stats, _ := strings.Cut(server.Do(t, "INFO", "commandstats").(string), "cmdstat_evalsha:")
			stats, _, _ = strings.Cut(stats, ",")
			return stats
		}
		before := looks()
		w := wait(t, b, "key", request.Token, 10)
		subscribed(t, server.Addr(), "", 1)
		eventually(t, "the first look", func() error {
			if looks() == before {
				return errors.New("is still to come")
			}
			return nil
		})
		server.Do(t, "FLUSHALL")
		w.returned(t)
		for i, record := range w.records {
			if w.errs[i] != nil || !record.Unknown() {
				t.Fatalf("a waiter returned %+v, %v", record, w.errs[i])
			}
		}
	})
}

// The server announces an expired key when it happens to delete it; among many
// others with a time to live that may be much later.
func TestDeadHolderAmongManyKeys(t *testing.T) {
	server := redistest.Start(t)
	server.Do(t, "DEBUG", "SET-ACTIVE-EXPIRE", "0")
	server.Do(t, "EVAL", `for i = 1, 20000 do redis.call('SET', 'other:' .. i, 'x', 'PX', 3600000 + i) end`, "0")
	b := open(t, option(server.Addr()), prefixed(t))
	request := taking(token())
	request.Lease = 300 * time.Millisecond
	take(t, b, "key", request)
	w := wait(t, b, "key", request.Token, 5)
	w.returned(t)
	for i, record := range w.records {
		if w.errs[i] != nil || record.State != backend.Abandoned {
			t.Fatalf("a waiter returned %v, %v", record.State, w.errs[i])
		}
	}
}

// A flood of messages on the channel must not stop the connection that carries
// everything else, also not while the subscription ends.
func TestFloodedChannel(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		options := rueidis.Options{Prefix: "flood:"}
		b := open(t, option(server.Addr()), options)
		layout, err := wire.NewLayout(options.Prefix)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Forget(within(t), "key"); err != nil {
			t.Fatal(err)
		}
		holder := token()
		take(t, b, "key", taking(holder))
		stop, stopped := make(chan struct{}), make(chan error, 1)
		go func() {
			conn, err := redistest.Dial(server.Addr())
			if err != nil {
				stopped <- err
				return
			}
			defer conn.Close()
			for {
				select {
				case <-stop:
					stopped <- nil
					return
				default:
				}
				_, err := conn.Do("EVAL", `for i = 1, 200 do redis.call('PUBLISH', KEYS[1], 'junk') end`, "1", layout.Channel("key"))
				if err != nil {
					stopped <- err
					return
				}
			}
		}()
		for range 30 {
			w := wait(t, b, "key", holder, 1)
			if _, err := b.Fetch(within(t), "key"); err != nil {
				t.Fatal(err)
			}
			w.cancel()
			w.returned(t)
		}
		w := wait(t, b, "key", holder, 3)
		if err := b.Commit(within(t), "key", completing(holder, "answer")); err != nil {
			t.Fatal(err)
		}
		w.woken(t, "answer")
		close(stop)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		subscribed(t, server.Addr(), "flood:", 0)
	})
}

// A subscriber that the server disconnects, because it was too slow or for any
// other reason, is one that was lost.
func TestOutputBufferLimit(t *testing.T) {
	server := redistest.Start(t, "--client-output-buffer-limit", "pubsub 32kb 0 0")
	b := open(t, option(server.Addr()), rueidis.Options{})
	layout, err := wire.NewLayout("")
	if err != nil {
		t.Fatal(err)
	}
	holder := token()
	take(t, b, "key", taking(holder))
	w := wait(t, b, "key", holder, 3)
	subscribed(t, server.Addr(), "", 1)
	server.Do(t, "EVAL", `for i = 1, 300 do redis.call('PUBLISH', KEYS[1], string.rep('x', 4096)) end`, "1", layout.Channel("key"))
	eventually(t, "the commit", func() error {
		return b.Commit(t.Context(), "key", completing(holder, "answer"))
	})
	w.woken(t, "answer")
}

func TestClose(t *testing.T) {
	server := redistest.Start(t)
	base := connections(t, server.Addr())
	t.Run("New", func(t *testing.T) {
		b, err := rueidis.New(option(server.Addr()), prefixed(t))
		if err != nil {
			t.Fatal(err)
		}
		holder := token()
		take(t, b, "key", taking(holder))
		w := wait(t, b, "key", holder, 20)
		subscribed(t, server.Addr(), "", 1)
		closes(t, b, w)
		eventually(t, "the connections", func() error {
			if n := connections(t, server.Addr()); n != base {
				return fmt.Errorf("there are %d, want %d", n, base)
			}
			return nil
		})
	})
	t.Run("NewFromClient", func(t *testing.T) {
		app := client(t, option(server.Addr()))
		b, err := rueidis.NewFromClient(app, prefixed(t))
		if err != nil {
			t.Fatal(err)
		}
		holder := token()
		take(t, b, "key", taking(holder))
		w := wait(t, b, "key", holder, 20)
		subscribed(t, server.Addr(), "", 1)
		closes(t, b, w)
		subscribed(t, server.Addr(), "", 0)
		if err := app.Do(t.Context(), app.B().Ping().Build()).Error(); err != nil {
			t.Fatalf("the app's client after Close: %v", err)
		}
	})
	t.Run("of the app's client", func(t *testing.T) {
		app := client(t, option(server.Addr()))
		b := fromClient(t, app, prefixed(t))
		holder := token()
		take(t, b, "key", taking(holder))
		w := wait(t, b, "key", holder, 20)
		subscribed(t, server.Addr(), "", 1)
		app.Close()
		w.returned(t)
		for _, err := range w.errs {
			is(t, "Wait on a client that was closed", err, backend.ErrClosed)
		}
		_, err := b.Claim(within(t), "key", taking(token()))
		is(t, "Claim on a client that was closed", err, backend.ErrClosed)
	})
	t.Run("while the server is silent", func(t *testing.T) {
		b, err := rueidis.New(option(server.Addr()), prefixed(t))
		if err != nil {
			t.Fatal(err)
		}
		holder := token()
		take(t, b, "key", taking(holder))
		w := wait(t, b, "key", holder, 20)
		subscribed(t, server.Addr(), "", 1)
		server.Pause(t)
		defer server.Resume(t)
		closes(t, b, w)
	})
}

func closes(t *testing.T, b *rueidis.Backend, w *waiters) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- errors.Join(b.Close(), b.Close()) }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close hangs")
	}
	w.returned(t)
	for _, err := range w.errs {
		is(t, "Wait on a closed backend", err, backend.ErrClosed)
	}
	_, err := b.Fetch(t.Context(), "key")
	is(t, "Fetch on a closed backend", err, backend.ErrClosed)
}
