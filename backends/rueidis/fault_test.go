package rueidis_test

import (
	"bytes"
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
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// verbs are all of them, on a key that is held by holder.
func verbs(b *rueidis.Backend, key string, holder backend.Token) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Claim": func(ctx context.Context) error {
			_, err := b.Claim(ctx, key, taking(token()))
			return err
		},
		"a renewal": func(ctx context.Context) error {
			request := taking(holder)
			request.Renewal, request.Attempt = true, 1
			_, err := b.Claim(ctx, key, request)
			return err
		},
		"Commit": func(ctx context.Context) error { return b.Commit(ctx, key, completing(holder, "small")) },
		"a large Commit": func(ctx context.Context) error {
			return b.Commit(ctx, key, completing(holder, strings.Repeat("x", 100_000)))
		},
		"Wait": func(ctx context.Context) error {
			_, err := b.Wait(ctx, key, holder)
			return err
		},
		"Fetch": func(ctx context.Context) error {
			_, err := b.Fetch(ctx, key)
			return err
		},
		"Forget": func(ctx context.Context) error { return b.Forget(ctx, key) },
	}
}

// promptly expects that every verb returns long before rueidis' own timeouts,
// by deadline and by cancel.
func promptly(t *testing.T, b *rueidis.Backend, key string) {
	t.Helper()
	for name, call := range verbs(b, key, token()) {
		for _, end := range []error{context.DeadlineExceeded, context.Canceled} {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			if end == context.Canceled {
				cancel()
				// A deadline far away must not keep the cancel from being heard.
				ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
				time.AfterFunc(100*time.Millisecond, cancel)
			}
			begun := time.Now()
			err := call(ctx)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("%s returned %v after its ctx ended (%v)", name, took, end)
			}
			if !errors.Is(err, end) {
				t.Errorf("%s returned %v, want %v", name, err, end)
			}
			cancel()
		}
	}
}

// trusting calls until the backend trusts its connections.
func trusting(t *testing.T, b *rueidis.Backend) {
	t.Helper()
	ctx := within(t)
	for rueidis.Doubts(ctx, b) {
		if _, err := b.Fetch(ctx, "key"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSilentServer(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faults.NewProxy(server.Addr(), faults.ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	connects := map[string]func(t *testing.T) *rueidis.Backend{
		"New": func(t *testing.T) *rueidis.Backend { return open(t, option(proxy.Addr()), prefixed(t)) },
		"NewFromClient": func(t *testing.T) *rueidis.Backend {
			return fromClient(t, client(t, option(proxy.Addr())), prefixed(t))
		},
		"NewFromClient without auto pipelining": func(t *testing.T) *rueidis.Backend {
			option := option(proxy.Addr())
			option.DisableAutoPipelining = true
			return fromClient(t, client(t, option), prefixed(t))
		},
		"RESP2": func(t *testing.T) *rueidis.Backend {
			option := option(proxy.Addr())
			option.DisableCache, option.AlwaysRESP2 = true, true
			return open(t, option, prefixed(t))
		},
	}
	for name, connect := range connects {
		t.Run(name, func(t *testing.T) {
			b := connect(t)
			complete(t, b, "key", "answer")
			for range 3 {
				replay(t, b, "key", "answer")
			}
			t.Run("connected", func(t *testing.T) {
				proxy.Pause()
				defer proxy.Resume()
				promptly(t, b, "another key")
			})
			t.Run("in use", func(t *testing.T) {
				trusting(t, b)
				proxy.Pause()
				defer proxy.Resume()
				promptly(t, b, "another key")
			})
			eventually(t, "a replay", func() error { return replays(t.Context(), b, "key", "answer") })
			replay(t, b, "key", "answer")
			t.Run("connecting", func(t *testing.T) {
				proxy.Pause()
				defer proxy.Resume()
				proxy.CutAll()
				eventually(t, "the trust in the last answer", func() error {
					if !rueidis.Doubts(within(t), b) {
						return errors.New("is still there")
					}
					return nil
				})
				// Whichever call finds the connection broken says so.
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, _ = b.Claim(ctx, "key", taking(token()))
				_, _ = b.Fetch(ctx, "another key")
				promptly(t, b, "key")
				promptly(t, b, "another key")
			})
			eventually(t, "a replay", func() error { return replays(t.Context(), b, "key", "answer") })
			eventually(t, "Fetch", func() error {
				_, err := b.Fetch(t.Context(), "key")
				return err
			})
		})
	}
}

// More calls than rueidis' queue takes must not block behind it.
func TestSilentServerManyCalls(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		b := connect()
		complete(t, b, "warm", "")
		trusting(t, b)
		server.Pause(t)
		defer server.Resume(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		var calls sync.WaitGroup
		for i := range 6000 {
			calls.Go(func() {
				if _, err := b.Claim(ctx, fmt.Sprint(i), taking(token())); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Claim returned %v", err)
				}
			})
		}
		calls.Wait()
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("6,000 calls returned after %v", took)
		}
	})
}

func contains(parts ...string) func([]byte) bool {
	return func(request []byte) bool {
		for _, part := range parts {
			if !bytes.Contains(request, []byte(part)) {
				return false
			}
		}
		return true
	}
}

func TestLostReplies(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faults.NewProxy(server.Addr(), faults.ProxyOptions{Complete: faults.WholeRESP})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	connects := map[string]func(t *testing.T) *rueidis.Backend{
		"New": func(t *testing.T) *rueidis.Backend { return open(t, option(proxy.Addr()), prefixed(t)) },
		"NewFromClient": func(t *testing.T) *rueidis.Backend {
			return fromClient(t, client(t, option(proxy.Addr())), prefixed(t))
		},
	}
	// unknown expects an error that doesn't say that nothing was done.
	unknown := func(t *testing.T, what string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, backend.ErrNotApplied) || errors.Is(err, backend.ErrSuperseded) || errors.Is(err, backend.ErrPermanent) {
			t.Fatalf("%s whose reply was lost returned %v", what, err)
		}
	}
	for name, connect := range connects {
		t.Run(name, func(t *testing.T) {
			b := connect(t)
			complete(t, b, "warm", strings.Repeat("x", 20_000))

			request := taking(token())
			proxy.OnNth(contains("SET", "NX"), 1, faults.CutReply)
			_, err := b.Claim(within(t), "key", request)
			unknown(t, "a claim", err)
			var record backend.Record
			eventually(t, "the repeated claim", func() (err error) {
				record, err = b.Claim(within(t), "key", request)
				return err
			})
			if record.State != backend.Claimed || record.Token != request.Token || record.Attempt != 1 || record.Fence != request.Fence {
				t.Fatalf("the repeated claim returned %+v", record)
			}
			for _, outcome := range []string{"small", strings.Repeat("large", 10_000)} {
				key := fmt.Sprint(len(outcome))
				holder := token()
				take(t, b, key, taking(holder))
				proxy.OnNth(contains("EVAL"), 1, faults.CutReply)
				unknown(t, "a commit", b.Commit(within(t), key, completing(holder, outcome)))
				eventually(t, "the repeated commit", func() error {
					return b.Commit(within(t), key, completing(holder, outcome))
				})
				is(t, "another outcome", b.Commit(within(t), key, completing(holder, outcome+"!")), backend.ErrSuperseded)
				replay(t, b, key, outcome)
			}
		})
	}
}

func TestFlushedScripts(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	for i, outcome := range []string{"small", strings.Repeat("large", 10_000)} {
		for name := range verbs(b, "", backend.Token{}) {
			if name == "Wait" {
				continue // until the lease ends
			}
			key, holder := fmt.Sprint(name, i), token()
			take(t, b, key, taking(holder))
			server.Do(t, "SCRIPT", "FLUSH")
			if err := verbs(b, key, holder)[name](within(t)); err != nil {
				t.Errorf("%s after SCRIPT FLUSH: %v", name, err)
			}
		}
		server.Do(t, "SCRIPT", "FLUSH")
		complete(t, b, fmt.Sprint("key ", i), outcome)
		replay(t, b, fmt.Sprint("key ", i), outcome)
	}
	keys, _ := server.Do(t, "KEYS", "*!*").([]any)
	if len(keys) > 0 {
		t.Errorf("side keys are left: %q", keys)
	}
}

func TestUnreadableRecords(t *testing.T) {
	server := redistest.Start(t)
	layout, err := wire.NewLayout("")
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, option(server.Addr()), rueidis.Options{})
	unreadable := map[string]func(name string){
		"another type": func(name string) { server.Do(t, "RPUSH", name, "x") },
		"garbage":      func(name string) { server.Do(t, "SET", name, "garbage") },
		"empty":        func(name string) { server.Do(t, "SET", name, "") },
		"a newer version": func(name string) {
			request := completing(token(), "answer")
			request.Fence, request.Attempt = 1, 1
			frame := wire.AppendCommit(nil, &request)
			frame[1] += 1 << 4
			server.Do(t, "SET", name, string(frame))
		},
		"a claim for ever": func(name string) {
			request := taking(token())
			server.Do(t, "SET", name, string(wire.AppendClaim(nil, &request)))
		},
	}
	for name, corrupt := range unreadable {
		for seen, prepare := range map[string]func(key string){
			"never seen": func(string) {},
			"hot": func(key string) {
				complete(t, b, key, "answer")
				hot(t, server.Addr(), b, key, "answer")
				server.Do(t, "DEL", layout.Record(key))
			},
		} {
			t.Run(name+"/"+seen, func(t *testing.T) {
				key := name + seen
				prepare(key)
				corrupt(layout.Record(key))
				eventually(t, "Claim", func() error {
					if _, err := b.Claim(within(t), key, taking(token())); !errors.Is(err, backend.ErrCorrupt) {
						return fmt.Errorf("returned %w", err)
					}
					return nil
				})
				for verb, call := range verbs(b, key, token()) {
					if verb == "Forget" || name == "a claim for ever" && strings.HasSuffix(verb, "Commit") {
						continue
					}
					is(t, verb, call(within(t)), backend.ErrCorrupt)
				}
				if err := b.Forget(within(t), key); err != nil {
					t.Fatal(err)
				}
				take(t, b, key, taking(token()))
			})
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	complete(t, b, "warm", strings.Repeat("x", 20_000))
	small, large := token(), token()
	take(t, b, "small", taking(small))
	take(t, b, "large", taking(large))
	server.Do(t, "CONFIG", "SET", "maxmemory", "1")
	_, err := b.Claim(within(t), "another", taking(token()))
	is(t, "Claim", err, backend.ErrNotApplied)
	if err := b.Commit(within(t), "small", completing(small, "answer")); err != nil {
		t.Errorf("a commit of a claim that the store knows: %v", err)
	}
	outcome := strings.Repeat("x", 20_000)
	if err := b.Commit(within(t), "large", completing(large, outcome)); err != nil {
		t.Errorf("a large commit of a claim that the store knows: %v", err)
	}
	server.Do(t, "CONFIG", "SET", "maxmemory", "0")
	replay(t, b, "small", "answer")
	replay(t, b, "large", outcome)
	take(t, b, "another", taking(token()))
}

func TestReadOnlyServer(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	holder := token()
	take(t, b, "key", taking(holder))
	server.Do(t, "REPLICAOF", "127.0.0.1", "1")
	_, err := b.Claim(within(t), "another", taking(token()))
	is(t, "Claim", err, backend.ErrNotApplied)
	is(t, "Commit", b.Commit(within(t), "key", completing(holder, "answer")), backend.ErrNotApplied)
	is(t, "a large Commit", b.Commit(within(t), "key", completing(holder, strings.Repeat("x", 20_000))), backend.ErrNotApplied)
	is(t, "Forget", b.Forget(within(t), "key"), backend.ErrNotApplied)
	server.Do(t, "REPLICAOF", "NO", "ONE")
	if err := b.Commit(within(t), "key", completing(holder, "answer")); err != nil {
		t.Fatal(err)
	}
}

func TestServerIsDown(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		b := connect()
		complete(t, b, "key", "answer")
		for range 3 {
			replay(t, b, "key", "answer")
		}
		server.Kill(t)
		defer server.Restart(t)
		for _, key := range []string{"key", "another key"} {
			eventually(t, "Claim", func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				begun := time.Now()
				_, err := b.Claim(ctx, key, taking(token()))
				if took := time.Since(begun); took > 10*time.Second {
					t.Fatalf("Claim tried for %v", took)
				}
				if !errors.Is(err, backend.ErrNotApplied) {
					return fmt.Errorf("returned %w", err)
				}
				return nil
			})
		}
	})
}

func TestRestartedServer(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		a, b := connect(), connect()
		holder := token()
		take(t, a, "key", taking(holder))
		w := wait(t, b, "key", holder, 3)
		subscribed(t, server.Addr(), "", 1)
		server.Restart(t)
		eventually(t, "the commit", func() error {
			return a.Commit(t.Context(), "key", completing(holder, "answer"))
		})
		w.woken(t, "answer")
	})
}
