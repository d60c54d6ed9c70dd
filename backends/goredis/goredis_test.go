package goredis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet are options of a client that sends nothing by itself.
func quiet(addr string) *redislib.Options {
	return &redislib.Options{Addr: addr, DisableIdentity: true}
}

// open makes a backend over a client with the options, and closes both.
func open(tb testing.TB, client redislib.UniversalClient, prefix string) *goredis.Backend {
	tb.Helper()
	store, err := goredis.New(client, goredis.Options{Prefix: prefix})
	if err != nil {
		tb.Fatal(err)
	}
	if together {
		goredis.Together(store)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
		if err := client.Close(); err != nil && !errors.Is(err, redislib.ErrClosed) {
			tb.Error(err)
		}
	})
	return store
}

func token() (t backend.Token) {
	_, _ = rand.Read(t[:])
	return t
}

func taking(t backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: t, Lease: 30 * time.Second, Keep: time.Hour, Fence: uint64(time.Now().UnixMicro()),
		Metadata: []byte("metadata"),
	}
}

func completing(t backend.Token, outcome string) backend.CommitRequest {
	return backend.CommitRequest{
		Token: t, Ending: backend.Complete, Outcome: []byte(outcome), Retention: time.Hour, LeaseHeld: true,
		Metadata: []byte("metadata"), Attempt: 1, Fence: 1,
	}
}

func ending(t backend.Token, e backend.Ending) backend.CommitRequest {
	return backend.CommitRequest{Token: t, Ending: e, Keep: time.Hour, LeaseHeld: true, Attempt: 1, Fence: 1}
}

// take claims an unknown key.
func take(tb testing.TB, store backend.Backend, key string, t backend.Token) backend.Record {
	tb.Helper()
	record, err := store.Claim(tb.Context(), key, taking(t))
	if err != nil || record.State != backend.Claimed || record.Token != t {
		tb.Fatalf("claim: %+v, %v", record, err)
	}
	return record
}

func complete(tb testing.TB, store backend.Backend, key string, t backend.Token, outcome string) {
	tb.Helper()
	if err := store.Commit(tb.Context(), key, completing(t, outcome)); err != nil {
		tb.Fatalf("commit: %v", err)
	}
}

// eventually waits until the condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Fatalf("after 20 s still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type waited struct {
	record backend.Record
	err    error
}

func wait(ctx context.Context, store backend.Backend, key string, t backend.Token) chan waited {
	got := make(chan waited, 1)
	go func() {
		record, err := store.Wait(ctx, key, t)
		got <- waited{record, err}
	}()
	return got
}

func record(tb testing.TB, prefix, key string) string {
	tb.Helper()
	layout, err := wire.NewLayout(prefix)
	if err != nil {
		tb.Fatal(err)
	}
	return layout.Record(key)
}

// subscribers is how many subscribe to a key's channel.
func subscribers(tb testing.TB, addr, name string) int64 {
	tb.Helper()
	return redistest.Do(tb, addr, "PUBSUB", "NUMSUB", name).([]any)[1].(int64)
}

func TestNewRefuses(t *testing.T) {
	client := redislib.NewClient(quiet("127.0.0.1:1"))
	defer client.Close()
	ring := redislib.NewRing(&redislib.RingOptions{})
	defer ring.Close()
	var nilClient *redislib.Client
	var nilCluster *redislib.ClusterClient
	for name, c := range map[string]struct {
		client  redislib.UniversalClient
		options goredis.Options
		names   string
	}{
		"nil":         {nil, goredis.Options{}, "client is nil"},
		"nil client":  {nilClient, goredis.Options{}, "nil *redis.Client"},
		"nil cluster": {nilCluster, goredis.Options{}, "nil *redis.ClusterClient"},
		"ring":        {ring, goredis.Options{}, "*redis.Ring"},
		"long prefix": {client, goredis.Options{Prefix: strings.Repeat("x", 65)}, "Options.Prefix"},
		"braces":      {client, goredis.Options{Prefix: "{x}"}, "Options.Prefix"},
	} {
		store, err := goredis.New(c.client, c.options)
		if store != nil || !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v, want ErrInvalid that says %q", name, err, c.names)
		}
	}
}

func TestCloseKeepsTheClient(t *testing.T) {
	addr := redistest.Address(t)
	client := redislib.NewClient(quiet(addr))
	store := open(t, client, redistest.Prefix(t))
	tok := token()
	take(t, store, "k", tok)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the client is closed: %v", err)
	}
	_, err := store.Claim(t.Context(), "k", taking(tok))
	if !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a claim after Close: %v", err)
	}
}
