package conformance

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// What the benchmarks vary: the size of the outcome, and how many goroutines
// call (or, for Wake, wait) at once.
var (
	benchSizes = []struct {
		name  string
		bytes int
	}{{"128B", 128}, {"16KiB", 16 << 10}, {"256KiB", 256 << 10}}
	benchGoroutines = []int{1, 16, 128}
)

// benchmark is one of [RunBenchmarks].
type benchmark struct {
	name  string
	prose string
	sizes bool // is run with every size of the outcome
	run   func(*bench)
}

func benchmarks() []benchmark {
	return []benchmark{
		{"Fresh", "a claim of an unknown key and the commit of its outcome.", true, benchFresh},
		{"Replay", "a claim of a completed key, of 16 in turn: the reply has the outcome.", true, benchReplay},
		{"Fetch", "a look at a completed key, of 16 in turn.", true, benchFetch},
		{"Wake", "from the sending of a commit until those who wait through another connection have the outcome; c counts them.", true, benchWake},
		{"Lost", "a claim of a key that another holds, of 16 in turn: the reply has what is left of the lease.", false, benchLost},
		{"Renewal", "a renewal of a claim that is held, each goroutine its own.", false, benchRenewal},
		{"Release", "the release of a claim that is held.", false, benchRelease},
		{"Takeover", "the abandoning of a claim that is held, and the claim that takes the key over.", false, benchTakeover},
		{"Ratios", "all of the above but Wake in turn, in short blocks, with 128 B: the rate of each divided by Fetch's in the same block, the median of the blocks.", false, benchRatios},
	}
}

// RunBenchmarks measures a backend by its verbs, so that its figures can be laid
// beside those of the backends of this module, which are measured by the same
// code. Call it from a benchmark of your own:
//
//	func BenchmarkConformance(b *testing.B) { conformance.RunBenchmarks(b, harness) }
//
// The names of the sub-benchmarks stay, see the package's documentation. All but
// Wake and Ratios report the time and the allocations of one operation, what the
// client allocates included, and operations per second; Wake reports the median
// and the 99th percentile of the latency.
//
// Of the harness Open, Advance and Lease are used. One call of Open serves all
// sub-benchmarks of one name. Keys that were used are forgotten by a backend that
// is a [backend.Forgetter]; others get the shortest Retention and Keep that the
// harness allows, and their clock is advanced when it has an Advance. About
// 128 MiB of outcomes are in the store at most.
//
// Times are comparable only within one run on one machine. Ratios travel better.
func RunBenchmarks(b *testing.B, h Harness) {
	b.Helper()
	h.check(b)
	for _, bm := range benchmarks() {
		b.Run(bm.name, func(b *testing.B) {
			connect := h.Open(b)
			store := connect()
			var other backend.Backend
			if bm.name == "Wake" {
				other = connect()
			}
			vary := func(b *testing.B, size int) {
				for _, c := range benchGoroutines {
					b.Run(fmt.Sprintf("c=%d", c), func(b *testing.B) {
						w := newBench(b, h, store, size, c)
						w.other = other
						w.warm()
						bm.run(w)
					})
				}
			}
			if !bm.sizes {
				vary(b, benchSizes[0].bytes)
				return
			}
			for _, size := range benchSizes {
				b.Run(size.name, func(b *testing.B) { vary(b, size.bytes) })
			}
		})
	}
}

// bench is what a benchmark works with.
type bench struct {
	*testing.B
	ctx          context.Context // can be cancelled, as those of most callers
	h            Harness
	store, other backend.Backend
	goroutines   int
	outcome      []byte
	metadata     []byte
	lease        time.Duration // outlives every round
	life         time.Duration // Keep and Retention
	series       string        // begins the keys of this bench, and no others
	keys         uint64        // made so far
}

func newBench(b *testing.B, h Harness, store backend.Backend, size, goroutines int) *bench {
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	w := &bench{
		B: b, ctx: ctx, h: h, store: store, goroutines: goroutines,
		outcome: random(size), metadata: random(40), lease: time.Hour, life: retention,
		series: hex.EncodeToString(random(8)),
	}
	if _, forgets := store.(backend.Forgetter); !forgets {
		w.life = max(h.Lease, 100*time.Millisecond)
	}
	return w
}

// warm opens the connections, and lets a client that learns see the store.
func (w *bench) warm() {
	w.Helper()
	w.spread(max(64, 4*w.goroutines), func(_, _ int) error {
		_, err := w.store.Fetch(w.ctx, w.series)
		return err
	})
}

// slot is a key with the tokens of those who claim it. Keys have 25 bytes: that
// of a namespace of 8 and a key of 16.
type slot struct {
	key         string
	token, next backend.Token
}

// slots makes keys that were never used.
func (w *bench) slots(n int) []slot {
	made := make([]slot, n)
	for i := range made {
		w.keys++
		made[i].key = fmt.Sprintf("%s%09x", w.series, w.keys)
		copy(made[i].token[:], w.series)
		binary.BigEndian.PutUint64(made[i].token[8:], w.keys<<1)
		made[i].next = made[i].token
		made[i].next[15]++
	}
	return made
}

// spread has all goroutines of the bench do n operations between them.
func (w *bench) spread(n int, do func(goroutine, i int) error) {
	w.Helper()
	if err := spread(w.goroutines, n, do); err != nil {
		w.Fatal(err)
	}
}

func spread(goroutines, n int, do func(goroutine, i int) error) error {
	if goroutines == 1 {
		for i := range n {
			if err := do(0, i); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var group sync.WaitGroup
	var failure atomic.Pointer[error]
	for g := range min(goroutines, n) {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || failure.Load() != nil {
					return
				}
				if err := do(g, i); err != nil {
					failure.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	group.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// measure times b.N operations.
func (w *bench) measure(do func(goroutine, i int) error) {
	w.Helper()
	w.ReportAllocs()
	w.ResetTimer()
	w.spread(w.N, do)
	w.rate()
}

// rounds times b.N operations on a key each, in rounds that the store has room
// for. What prepares the keys, and what forgets them, isn't timed.
func (w *bench) rounds(prepare func(*slot) error, do func(*slot) error) {
	w.Helper()
	w.ReportAllocs()
	w.ResetTimer()
	for left := w.N; left > 0; {
		w.StopTimer()
		slots := w.slots(min(left, 4096, 128<<20/len(w.outcome)))
		left -= len(slots)
		if prepare != nil {
			w.spread(len(slots), func(_, i int) error { return prepare(&slots[i]) })
		}
		w.StartTimer()
		w.spread(len(slots), func(_, i int) error { return do(&slots[i]) })
		w.StopTimer()
		w.forget(slots)
	}
	w.rate()
}

func (w *bench) rate() {
	w.StopTimer()
	w.ReportMetric(float64(w.N)/w.Elapsed().Seconds(), "ops/s")
}

// forget rids the store of what a round left.
func (w *bench) forget(slots []slot) {
	w.Helper()
	if forgetter, ok := w.store.(backend.Forgetter); ok {
		w.spread(len(slots), func(_, i int) error { return forgetter.Forget(w.ctx, slots[i].key) })
	} else if w.h.Advance != nil {
		w.h.Advance(w.life)
	}
}
