package rueidis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// sent is what clients send to the server while do runs.
func sent(t *testing.T, addr string, do func()) []string {
	t.Helper()
	monitor := redistest.Watch(t, addr)
	do()
	return monitor.Stop()
}

func expectSent(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s sent %q, want %q", what, got, want)
	}
}

// both runs a test on a backend with a client of its own, and on an app's.
func both(t *testing.T, server *redistest.Server, test func(t *testing.T, connect func() *rueidis.Backend)) {
	t.Run("New", func(t *testing.T) {
		options := prefixed(t)
		test(t, func() *rueidis.Backend { return open(t, option(server.Addr()), options) })
	})
	t.Run("NewFromClient", func(t *testing.T) {
		options := prefixed(t)
		test(t, func() *rueidis.Backend { return fromClient(t, client(t, option(server.Addr())), options) })
	})
}

func TestCommands(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		a := connect()
		complete(t, a, "warm", "loads the scripts, asks the server what it is")
		renewal := taking(token())
		renewal.Renewal, renewal.Attempt = true, 1
		if _, err := a.Claim(within(t), "warm", renewal); err != nil {
			t.Fatal(err)
		}
		addr := server.Addr()
		expectSent(t, "a fresh call", sent(t, addr, func() { complete(t, a, "key", "answer") }), "SET", "EVALSHA")
		expectSent(t, "the first replay", sent(t, addr, func() { replay(t, a, "key", "answer") }), "SET")
		expectSent(t, "the second replay", sent(t, addr, func() { replay(t, a, "key", "answer") }), "MULTI", "PTTL", "GET", "EXEC")
		expectSent(t, "1,000 more replays", sent(t, addr, func() {
			for range 1000 {
				replay(t, a, "key", "answer")
			}
		}))
		if hits := a.CacheHits(); hits < 1000 {
			t.Errorf("CacheHits is %d after 1,000 replays that sent nothing", hits)
		}
		expectSent(t, "a lost claim", sent(t, addr, func() {
			take(t, a, "held", taking(token()))
			if record, err := a.Claim(within(t), "held", taking(token())); err != nil || record.LeaseLeft <= 0 {
				t.Fatalf("a lost claim returned %+v, %v", record, err)
			}
		}), "SET", "SET", "EVALSHA")
		if commands := sent(t, addr, func() {
			if record, err := a.Fetch(within(t), "key"); err != nil || record.State != backend.Completed {
				t.Fatalf("Fetch: %v, %v", record.State, err)
			}
		}); len(commands) == 0 {
			t.Fatal("Fetch of a hot key was answered without the server")
		}
		if commands := sent(t, addr, func() {
			if record, err := a.Wait(within(t), "key", token()); err != nil || record.State != backend.Completed {
				t.Fatalf("Wait: %v, %v", record.State, err)
			}
		}); len(commands) == 0 {
			t.Fatal("Wait for a hot key was answered without the server")
		}
	})
}

func TestRenewalAsksTheServer(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	complete(t, b, "key", "answer")
	for range 4 {
		replay(t, b, "key", "answer")
	}
	renewal := taking(token())
	renewal.Renewal, renewal.Attempt = true, 1
	expectSent(t, "a renewal", sent(t, server.Addr(), func() {
		if record, err := b.Claim(within(t), "key", renewal); err != nil || record.State != backend.Completed {
			t.Fatalf("the renewal returned %v, %v", record.State, err)
		}
	}), "EVAL")
}

// hot replays a key until nothing is sent for it.
func hot(t *testing.T, addr string, b backend.Backend, key, outcome string) {
	t.Helper()
	for range 5 {
		if len(sent(t, addr, func() { replay(t, b, key, outcome) })) == 0 {
			return
		}
	}
	t.Fatal("after 5 replays the server is still asked")
}

func TestForgetReachesOtherCaches(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		a, b := connect(), connect()
		for i := range 5 {
			outcome := fmt.Sprint("answer ", i)
			complete(t, a, "key", outcome)
			for _, each := range []*rueidis.Backend{a, b} {
				eventually(t, "a replay", func() error { return replays(t.Context(), each, "key", outcome) })
				hot(t, server.Addr(), each, "key", outcome)
			}
			if err := b.Forget(within(t), "key"); err != nil {
				t.Fatal(err)
			}
			// Its own cache is not asked again, whenever the news arrives.
			if i%2 == 0 {
				complete(t, b, "key", "another")
				eventually(t, "the other process after Forget", func() error { return replays(t.Context(), a, "key", "another") })
				replay(t, b, "key", "another")
				if err := a.Forget(within(t), "key"); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "the other process after Forget", func() error {
				record, err := a.Claim(t.Context(), "key", taking(token()))
				if err == nil && record.State == backend.Completed {
					err = fmt.Errorf("it replays %q", record.Outcome)
				}
				return err
			})
			if err := a.Forget(within(t), "key"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestFlushReachesCaches(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	complete(t, b, "key", "answer")
	hot(t, server.Addr(), b, "key", "answer")
	server.Do(t, "FLUSHALL")
	eventually(t, "the claim after FLUSHALL", func() error {
		record, err := b.Claim(t.Context(), "key", taking(token()))
		if err == nil && record.State != backend.Claimed {
			err = fmt.Errorf("it returned %v", record.State)
		}
		return err
	})
}

// A record is over when the server says so: whoever saw that it is forgotten
// must not be answered from memory afterwards.
func TestReplaysEndWithTheRetention(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		a, b := connect(), connect()
		for i := range 20 {
			key := fmt.Sprint("key ", i)
			request := completing(token(), "answer")
			request.Retention = 150 * time.Millisecond
			take(t, a, key, taking(request.Token))
			if err := a.Commit(within(t), key, request); err != nil {
				t.Fatal(err)
			}
			// Replays until the server has forgotten the record. It is hot then.
			for {
				if _, err := b.Claim(within(t), key, taking(request.Token)); err != nil {
					t.Fatal(err)
				}
				record, err := a.Fetch(within(t), key)
				if err != nil {
					t.Fatal(err)
				}
				if record.Token != request.Token || record.State != backend.Completed {
					break
				}
			}
			record, err := b.Claim(within(t), key, taking(token()))
			if err != nil || record.State == backend.Completed {
				t.Fatalf("the claim of a forgotten key returned %v, %v", record.State, err)
			}
		}
	})
}

// The reply that filled the cache took long, so that rueidis thinks that the
// record lasts as much longer, and the server's announcement of its end doesn't
// come.
func TestReplaysEndWithTheRetentionAfterASlowReply(t *testing.T) {
	server := redistest.Start(t)
	proxy, err := faults.NewProxy(server.Addr(), faults.ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	options := prefixed(t)
	a, b := open(t, option(server.Addr()), options), open(t, option(proxy.Addr()), options)
	request := completing(token(), "answer")
	request.Retention = 2 * time.Second
	take(t, a, "key", taking(request.Token))
	if err := a.Commit(within(t), "key", request); err != nil {
		t.Fatal(err)
	}
	replay(t, b, "key", "answer")
	proxy.OnNth(contains("EXEC", "GET"), 1, faults.DelayReply(time.Second))
	replay(t, b, "key", "answer")
	proxy.Pause()
	defer proxy.Resume()
	replay(t, b, "key", "answer")
	eventually(t, "the end of the retention", func() error {
		record, err := a.Fetch(t.Context(), "key")
		if err == nil && !record.Unknown() {
			err = errors.New("is not yet")
		}
		return err
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if record, err := b.Claim(ctx, "key", taking(token())); err == nil {
		t.Fatalf("the claim of a forgotten key returned %v from memory", record.State)
	}
}

func TestForgetEmptiesItsOwnMemory(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, option(server.Addr()), prefixed(t))
	complete(t, b, "key", "answer")
	hot(t, server.Addr(), b, "key", "answer")
	if err := b.Forget(within(t), "key"); err != nil {
		t.Fatal(err)
	}
	if n := rueidis.Sightings(b); n != 0 {
		t.Fatalf("%d keys are remembered after Forget", n)
	}
}

func TestLostConnectionEmptiesTheCache(t *testing.T) {
	server := redistest.Start(t)
	both(t, server, func(t *testing.T, connect func() *rueidis.Backend) {
		b := connect()
		complete(t, b, "key", "answer")
		hot(t, server.Addr(), b, "key", "answer")
		server.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		eventually(t, "Forget by another while the connection is lost", func() error {
			_, err := b.Fetch(t.Context(), "key")
			return err
		})
		layoutPrefixDelete(t, server)
		eventually(t, "the claim", func() error {
			record, err := b.Claim(t.Context(), "key", taking(token()))
			if err == nil && record.State != backend.Claimed {
				err = fmt.Errorf("it returned %v", record.State)
			}
			return err
		})
	})
}

// layoutPrefixDelete deletes all keys one by one, as an operator would.
func layoutPrefixDelete(t *testing.T, server *redistest.Server) {
	t.Helper()
	keys, _ := server.Do(t, "KEYS", "*").([]any)
	for _, key := range keys {
		server.Do(t, "DEL", key.(string))
	}
}

func TestReplaysBelongToTheCaller(t *testing.T) {
	b := open(t, option(redistest.Address(t)), prefixed(t))
	request := taking(token())
	request.Fingerprint, request.Metadata = []byte("fingerprint"), []byte("metadata")
	take(t, b, "key", request)
	if err := b.Commit(within(t), "key", completing(request.Token, "answer")); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		record, err := b.Claim(within(t), "key", taking(token()))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprintf("%s %s %s", record.Fingerprint, record.Metadata, record.Outcome)
		if got != "fingerprint metadata answer" {
			t.Fatalf("a replay after others were scribbled on is %q", got)
		}
		for _, s := range [][]byte{record.Fingerprint, record.Metadata, record.Outcome} {
			clear(s[:cap(s)])
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	server := redistest.Start(t)
	options := prefixed(t)
	options.CacheKeys = 8
	b := open(t, option(server.Addr()), options)
	for i := range 100 {
		key := fmt.Sprint(i)
		complete(t, b, key, key)
		replay(t, b, key, key)
		replay(t, b, key, key)
	}
	// Whatever made room is answered by the server, and becomes hot again.
	for i := range 100 {
		key := fmt.Sprint(i)
		replay(t, b, key, key)
	}
	hot(t, server.Addr(), b, "0", "0")
	if n := rueidis.Sightings(b); n == 0 || n > 8 {
		t.Fatalf("%d keys are remembered, want 1 to 8", n)
	}
}

func TestWithoutCache(t *testing.T) {
	server := redistest.Start(t)
	check := func(name string, b func(t *testing.T) *rueidis.Backend) {
		t.Run(name, func(t *testing.T) {
			b := b(t)
			complete(t, b, "key", "answer")
			replay(t, b, "key", "answer")
			replay(t, b, "key", "answer")
			expectSent(t, "3 replays", sent(t, server.Addr(), func() {
				for range 3 {
					replay(t, b, "key", "answer")
				}
			}), "SET", "SET", "SET")
		})
	}
	disabled := option(server.Addr())
	disabled.DisableCache = true
	prefixes := option(server.Addr())
	prefixes.ClientTrackingOptions = []string{"BCAST", "PREFIX", "elsewhere:"}
	check("DisableCache", func(t *testing.T) *rueidis.Backend { return open(t, disabled, prefixed(t)) })
	check("DisableCache of the app's client", func(t *testing.T) *rueidis.Backend {
		return fromClient(t, client(t, disabled), prefixed(t))
	})
	check("tracking of other prefixes", func(t *testing.T) *rueidis.Backend { return open(t, prefixes, prefixed(t)) })
	check("NoCache", func(t *testing.T) *rueidis.Backend {
		options := prefixed(t)
		options.NoCache = true
		return open(t, option(server.Addr()), options)
	})
}

func TestOtherTrackingModes(t *testing.T) {
	for _, tracking := range [][]string{{"OPTOUT"}, {"BCAST"}, {"OPTIN", "NOLOOP"}} {
		t.Run(fmt.Sprint(tracking), func(t *testing.T) {
			server := redistest.Start(t)
			client := option(server.Addr())
			client.ClientTrackingOptions = tracking
			options := prefixed(t)
			a, b := open(t, client, options), open(t, client, options)
			for _, outcome := range []string{"one", "two", "three"} {
				complete(t, a, "key", outcome)
				for range 3 {
					replay(t, a, "key", outcome)
				}
				eventually(t, "the other process", func() error { return replays(t.Context(), b, "key", outcome) })
				hot(t, server.Addr(), b, "key", outcome)
				if err := a.Forget(within(t), "key"); err != nil {
					t.Fatal(err)
				}
				request := taking(token())
				take(t, a, "key", request)
				if err := a.Commit(within(t), "key", completing(request.Token, "next")); err != nil {
					t.Fatal(err)
				}
				replay(t, a, "key", "next")
				replay(t, a, "key", "next")
				replay(t, a, "key", "next")
				eventually(t, "the other process", func() error { return replays(t.Context(), b, "key", "next") })
				if err := a.Forget(within(t), "key"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestInvalidationsAreChained(t *testing.T) {
	server := redistest.Start(t)
	heard := make(chan string, 64)
	client := option(server.Addr())
	client.OnInvalidations = func(keys []rueidislib.RedisMessage) {
		for _, key := range keys {
			name, _ := key.ToString()
			heard <- name
		}
	}
	b := open(t, client, rueidis.Options{Prefix: "mine:"})
	complete(t, b, "key", "answer")
	hot(t, server.Addr(), b, "key", "answer")
	if err := b.Forget(within(t), "key"); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-heard:
		if want := "mine:{"; len(name) < len(want) || name[:len(want)] != want {
			t.Fatalf("the app's callback was told of %q", name)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the app's OnInvalidations was not called")
	}
}
