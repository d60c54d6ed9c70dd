package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) {
	measure.Children(obey)
	os.Exit(m.Run())
}

// namespace is one of eight bytes, as the goals have it.
const namespace = "payments"

var (
	sizes      = []int{128, 16 << 10}
	goroutines = []int{1, 16, clients.MaxGoroutines}
)

func sizeName(size int) string {
	if size >= 1<<20 {
		return strconv.Itoa(size>>20) + "MiB"
	}
	if size >= 1<<10 {
		return strconv.Itoa(size>>10) + "KiB"
	}
	return strconv.Itoa(size) + "B"
}

func newExecutor(tb testing.TB, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	tb.Helper()
	if options.Codec == nil {
		options.Codec = codec.Raw
	}
	options.Namespace = namespace
	options.MaxPayload = 4 << 20
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// answer is an action that answers at once.
func answer(payload []byte) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return payload, nil }
}

// notAgain is an action that must not run.
func notAgain(context.Context) ([]byte, error) {
	return nil, fmt.Errorf("ran again")
}

// rig is a client on a server of its own: an executor, the same client bare, and
// the same executor again on a tap.
type rig struct {
	server *redistest.Server
	client clients.Client
	store  backend.Backend
	x      *idempotency.Executor
	bare   clients.Bare
	raw    clients.Bare
	tap    *measure.Tap
	onTap  *idempotency.Executor
}

func newRig(tb testing.TB, client clients.Client) *rig {
	tb.Helper()
	r := &rig{server: redistest.Start(tb), client: client, tap: new(measure.Tap)}
	store := client.Open(tb, r.server.Addr(), nil)
	clients.Warm(tb, store)
	if !measure.PlanOf().Smoke() {
		clients.Trust(tb, store)
	}
	r.store = store
	r.x = newExecutor(tb, store, idempotency.Options{})
	r.bare, r.raw = client.Bare(tb, r.server.Addr()), client.Raw(tb, r.server.Addr())
	tapped := client.Open(tb, r.server.Addr(), r.tap.Dial)
	clients.Warm(tb, tapped)
	r.onTap = newExecutor(tb, tapped, idempotency.Options{})
	return r
}

// fresh is what a call with a payload sends that runs its action.
func (r *rig) fresh(tb testing.TB, payload []byte) clients.Protocol {
	tb.Helper()
	key := nextKey('p')
	r.tap.Take()
	if _, err := idempotency.Run(tb.Context(), r.onTap, key, answer(payload)); err != nil {
		tb.Fatal(err)
	}
	return clients.Capture(tb, key, r.tap.Take())
}

// replay is what a call sends whose key is completed.
func (r *rig) replay(tb testing.TB, key string) clients.Protocol {
	tb.Helper()
	r.tap.Take()
	if _, err := idempotency.Run(tb.Context(), r.onTap, key, notAgain); err != nil {
		tb.Fatal(err)
	}
	return clients.Capture(tb, key, r.tap.Take())
}

// empty removes all keys. No client is told: what one has in its cache, it still
// has afterwards, so it is not for a benchmark of replays.
func (r *rig) empty(tb testing.TB) {
	redistest.Do(tb, r.server.Addr(), "EVAL",
		"local keys = redis.call('KEYS', '*') for i = 1, #keys, 5000 do "+
			"redis.call('UNLINK', unpack(keys, i, math.min(i + 4999, #keys))) end", "0")
}

var keys atomic.Uint64

// nextKey is a key that was never used in this process.
func nextKey(kind byte) string { return clients.Key(kind, keys.Add(1)) }

// repeatBy is a contender that does one thing, by goroutine.
func repeatBy(name string, one func(ctx context.Context, goroutine int) error) measure.Contender {
	return measure.Contender{Name: name, Run: func(ctx context.Context, goroutine, n int) error {
		for range n {
			if err := one(ctx, goroutine); err != nil {
				return err
			}
		}
		return nil
	}}
}

// repeat is a contender that does one thing.
func repeat(name string, one func(ctx context.Context) error) measure.Contender {
	return repeatBy(name, func(ctx context.Context, _ int) error { return one(ctx) })
}

// payloadOf is bytes that no compression makes much smaller and no codec bigger.
func payloadOf(size int) []byte {
	return bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size:size]
}

// atEach runs a benchmark at each concurrency, on one CPU where one goroutine
// runs.
func atEach(b *testing.B, r *rig, unpinned bool, run func(b *testing.B, c int)) {
	for _, c := range goroutines {
		b.Run("c="+strconv.Itoa(c), func(b *testing.B) {
			if c == 1 {
				pin(b, r.server.Process().Pid)
			}
			run(b, c)
		})
	}
	if unpinned {
		b.Run("c=1-unpinned", func(b *testing.B) { run(b, 1) })
	}
}

func pin(b *testing.B, pids ...int) {
	restore, err := measure.Pin(pids...)
	if err != nil {
		b.Logf("client and server run on any CPU: %v", err)
		return
	}
	b.Cleanup(restore)
}

// upTo are sizes or counts that grow, without the last of them where time is
// short, and only the first in a smoke run.
func upTo(counts ...int) []int {
	plan := measure.PlanOf()
	switch {
	case plan.Smoke():
		return counts[:1]
	case plan.Short():
		return counts[:len(counts)-1]
	}
	return counts
}

func splitLines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
