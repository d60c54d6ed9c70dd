package redigo_test

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What each verb sends: one command is one round trip, but for large commits,
// whose two are sent together.
func TestCommands(t *testing.T) {
	server := redistest.Start(t)
	proxy := newProxy(t, server.Addr(), nil)
	b := open(t, newPool(t, proxy.Addr()))
	outcome := strings.Repeat("o", 50_000)
	use := func(prefix string) (steps []func()) {
		record, large := backend.Record{}, backend.Record{}
		return []func(){
			func() { record = take(t, b, prefix) },
			func() { _, _ = b.Claim(t.Context(), prefix, claiming(newToken())) },
			func() { complete(t, b, prefix, record, "outcome") },
			func() { _, _ = b.Claim(t.Context(), prefix, claiming(newToken())) },
			func() { _ = fetch(t, b, prefix) },
			func() { _ = b.Forget(t.Context(), prefix) },
			func() { large = take(t, b, prefix) },
			func() { complete(t, b, prefix, large, outcome) },
		}
	}
	for _, step := range use("warm") { // the scripts are loaded then
		step()
	}
	want := []struct {
		what     string
		commands []string
		trips    int
	}{
		{"fresh claim", []string{"SET"}, 1},
		{"lost claim", []string{"SET", "EVALSHA"}, 2},
		{"commit", []string{"EVALSHA"}, 1},
		{"replay", []string{"SET"}, 1},
		{"fetch", []string{"EVALSHA"}, 1},
		{"forget", []string{"EVALSHA"}, 1},
		{"fresh claim", []string{"SET"}, 1},
		{"large commit", []string{"SET", "EVALSHA"}, 1},
	}
	for i, step := range use("key") {
		trips := len(proxy.Exchanges())
		monitor := redistest.Watch(t, server.Addr())
		step()
		sent := monitor.Stop()
		trips = len(proxy.Exchanges()) - trips
		if !slices.Equal(sent, want[i].commands) || trips != want[i].trips {
			t.Errorf("%s sends %v in %d round trips, want %v in %d", want[i].what, sent, trips, want[i].commands, want[i].trips)
		}
	}
}

// Any number of waiters of a key share a subscription and its looks.
func TestCommandsOfWaiters(t *testing.T) {
	server := redistest.Start(t)
	prefix := redistest.Prefix(t)
	b, other := openAt(t, newPool(t, server.Addr()), prefix), openAt(t, newPool(t, server.Addr()), prefix)
	_ = fetch(t, b, "warm")
	_ = fetch(t, other, "warm")
	complete(t, other, "warm", take(t, other, "warm"), "o")
	record := take(t, other, "key")
	monitor := redistest.Watch(t, server.Addr())
	results := make([]<-chan waited, 300)
	results[0] = wait(t, b, "key", record.Token)
	until(t, "somebody listens", func() bool { return subscribers(t, server.Addr(), prefix) == 1 })
	for i := range results[1:] {
		results[i+1] = wait(t, b, "key", record.Token)
	}
	complete(t, other, "key", record, "outcome")
	for _, result := range results {
		woken(t, result, backend.Completed)
	}
	until(t, "nobody listens", func() bool { return subscribers(t, server.Addr(), prefix) == 0 })
	sent := slices.DeleteFunc(monitor.Stop(), func(command string) bool { return strings.HasPrefix(command, "PUBSUB") })
	// A subscription, a look, perhaps another for those who came during it, the
	// commit; and the same again for those who begin to wait after the commit.
	if len(sent) > 40 {
		t.Errorf("%d waiters and the commit sent %v", len(results), sent)
	}
}

// What every version of this library must read, through this client.
func TestGoldenFrames(t *testing.T) {
	server := redistest.Start(t)
	b, err := redigo.New(newPool(t, server.Addr()), redigo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	layout, _ := wire.NewLayout("")
	files, err := filepath.Glob("../internal/wire/testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := wire.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		if want.State == backend.Claimed {
			want.State = backend.Abandoned // with so short a time to live
		}
		server.Do(t, "SET", layout.Record("key"), string(frame), "PX", "100000")
		got := fetch(t, b, "key")
		if got.State != want.State || got.Token != want.Token || got.Attempt != want.Attempt || got.Fence != want.Fence ||
			string(got.Fingerprint) != string(want.Fingerprint) || string(got.Metadata) != string(want.Metadata) || string(got.Outcome) != string(want.Outcome) {
			t.Errorf("%s: %+v, want %+v", filepath.Base(file), got, want)
		}
	}
}

// bare sends the protocol's own commands, without this package.
type bare struct {
	pool   *redis.Pool
	commit *redis.Script
}

func (b *bare) fresh(tb testing.TB, key string, token backend.Token) {
	claim, commit := claiming(token), completing(token, "outcome")
	frame, done := wire.AppendClaim(nil, &claim), wire.AppendCommit(nil, &commit)
	conn := b.pool.Get()
	if _, err := conn.Do("SET", key, frame, "NX", "GET", "PX", wire.ClaimPX(&claim)); err != nil {
		tb.Fatal(err)
	}
	conn.Close()
	conn = b.pool.Get()
	if _, err := b.commit.Do(conn, key, done, wire.CommitPX(&commit), wire.Publish, "0"); err != nil {
		tb.Fatal(err)
	}
	conn.Close()
}

// Claim and Commit cost few allocations over the bare commands.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and sync.Pool drops at random with it")
	}
	addr := redistest.Address(t)
	pool := newPool(t, addr)
	raw := &bare{pool: pool, commit: redis.NewScript(1, wire.CommitScript)}
	prefix := redistest.Prefix(t)
	floor := testing.AllocsPerRun(300, func() {
		token := newToken()
		raw.fresh(t, prefix+string(token[:]), token)
	})
	for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": t.Context()} {
		b := open(t, pool)
		ours := testing.AllocsPerRun(300, func() {
			token := newToken()
			key := string(token[:])
			if _, err := b.Claim(ctx, key, claiming(token)); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(ctx, key, completing(token, "outcome")); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %v allocations, bare %v", name, ours, floor)
		if ours > floor+4 {
			t.Errorf("%s: %v allocations, the bare commands have %v", name, ours, floor)
		}
	}
}
