package conformance

import (
	"context"
	"flag"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/backend"
)

// quickly lets every benchmark of the test do n operations.
func quickly(t *testing.T, n string) {
	t.Helper()
	benchtime := flag.Lookup("test.benchtime").Value
	before := benchtime.String()
	if err := benchtime.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = benchtime.Set(before) })
}

// noForgetter hides what a backend can do beyond the four verbs.
type noForgetter struct{ backend.Backend }

// TestRunBenchmarks runs all of them on a store that forgets and on one that
// doesn't, and looks at what they leave.
func TestRunBenchmarks(t *testing.T) {
	leavesNothing(t)
	quickly(t, "3x")
	for _, forgets := range []bool{true, false} {
		h := harness("", !forgets)
		open, opened := h.Open, 0
		var stores []*reference
		h.Open = func(tb testing.TB) func() backend.Backend {
			opened++
			connect := open(tb)
			return func() backend.Backend {
				p := connect().(*process)
				stores = append(stores, p.reference)
				if !forgets {
					return noForgetter{p}
				}
				return p
			}
		}
		failed := true
		testing.Benchmark(func(b *testing.B) {
			RunBenchmarks(b, h)
			failed = b.Failed()
		})
		if failed {
			t.Fatal("a benchmark failed")
		}
		if opened != len(benchmarks()) {
			t.Errorf("Open was called %d times for %d benchmarks", opened, len(benchmarks()))
		}
		if forgets {
			for _, s := range stores {
				if left := len(s.entries); left != 0 {
					t.Errorf("the benchmarks left %d keys", left)
				}
			}
		}
	}
}

// TestBenchmarkNames keeps the names: people compare by them.
func TestBenchmarkNames(t *testing.T) {
	var names []string
	for _, bm := range benchmarks() {
		names = append(names, bm.name)
		if !strings.HasSuffix(bm.prose, ".") {
			t.Errorf("%s: the prose isn't a sentence: %q", bm.name, bm.prose)
		}
	}
	want := []string{"Fresh", "Replay", "Fetch", "Wake", "Lost", "Renewal", "Release", "Takeover", "Ratios"}
	if !slices.Equal(names, want) {
		t.Errorf("the benchmarks are %q, want %q", names, want)
	}
}

// TestBenchmarksMeasureWhatTheySay counts the verbs that one operation of each
// benchmark sends.
func TestBenchmarksMeasureWhatTheySay(t *testing.T) {
	const n = 64
	quickly(t, "64x")
	for name, want := range map[string]map[string]int{
		"Fresh":    {"claim": n, "complete": n, "forget": n},
		"Replay":   {"claim": n + hot, "complete": hot},
		"Fetch":    {"claim": hot, "complete": hot, "fetch": n},
		"Lost":     {"claim": n + hot},
		"Renewal":  {"claim": n + 16},
		"Release":  {"claim": n, "release": n, "forget": n},
		"Takeover": {"claim": 2 * n, "abandon": n, "forget": n},
	} {
		for _, bm := range benchmarks() {
			if bm.name != name {
				continue
			}
			h := harness("", true)
			var counts map[string]int
			testing.Benchmark(func(b *testing.B) {
				store := &counting{process: h.Open(b)().(*process), counts: map[string]int{}}
				w := newBench(b, h, store, 128, 16)
				bm.run(w)
				counts = maps.Clone(store.counts) // before what cleans up
			})
			if !maps.Equal(counts, want) {
				t.Errorf("%s sent %v for %d operations, want %v", name, counts, n, want)
			}
		}
	}
}

type counting struct {
	*process
	mu     sync.Mutex
	counts map[string]int
}

func (c *counting) count(verb string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[verb]++
}

func (c *counting) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	c.count("claim")
	return c.process.Claim(ctx, key, request)
}

func (c *counting) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	c.count(request.Ending.String())
	return c.process.Commit(ctx, key, request)
}

func (c *counting) Fetch(ctx context.Context, key string) (backend.Record, error) {
	c.count("fetch")
	return c.process.Fetch(ctx, key)
}

func (c *counting) Forget(ctx context.Context, key string) error {
	c.count("forget")
	return c.process.Forget(ctx, key)
}
