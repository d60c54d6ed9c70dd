package benchmarks

import (
	"context"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkLocal is an executor on the memory backend against the Do of
// x/sync/singleflight with the same action, which remembers nothing.
func BenchmarkLocal(b *testing.B) {
	for _, what := range []string{"fresh", "replay"} {
		b.Run(what, func(b *testing.B) {
			for _, c := range []string{"c=1", "c=16"} {
				b.Run(c, func(b *testing.B) {
					n := 16
					if c == "c=1" {
						n = 1
						pin(b)
					}
					local(b, what, n)
				})
			}
		})
	}
	b.Run("joined/memory", func(b *testing.B) {
		store := memory.New()
		b.Cleanup(func() { store.Close() })
		joined(b, store)
	})
	for _, client := range clients.Distinct() {
		b.Run("joined/"+client.Name, func(b *testing.B) {
			store := client.Open(b, redistest.Address(b), nil)
			clients.Warm(b, store)
			joined(b, store)
		})
	}
}

// memoryCalls are calls on a memory backend of their own.
func memoryCalls(tb testing.TB, what string, goroutines int) measure.Contender {
	tb.Helper()
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	if what == "fresh" {
		x := newExecutor(tb, store, idempotency.Options{Retention: time.Second, Lease: time.Second, Keep: time.Second})
		return repeat("call", func(ctx context.Context) error {
			_, err := idempotency.Run(ctx, x, nextKey('m'), answer(payload128))
			return err
		})
	}
	x := newExecutor(tb, store, idempotency.Options{})
	completed := make([]string, goroutines)
	for g := range completed {
		completed[g] = nextKey('m')
		if _, err := idempotency.Run(tb.Context(), x, completed[g], answer(payload128)); err != nil {
			tb.Fatal(err)
		}
	}
	return repeatBy("call", func(ctx context.Context, g int) error {
		_, err := idempotency.Run(ctx, x, completed[g], notAgain)
		return err
	})
}

var payload128 = payloadOf(128)

func local(b *testing.B, what string, goroutines int) {
	call := memoryCalls(b, what, goroutines)
	completed := make([]string, goroutines)
	for g := range completed {
		completed[g] = nextKey('m')
	}
	action := answer(payload128)
	var flights singleflight.Group
	floor := repeatBy("floor", func(ctx context.Context, g int) error {
		key := completed[g]
		if what == "fresh" {
			key = nextKey('m')
		}
		_, err, _ := flights.Do(key, func() (any, error) { return action(ctx) })
		return err
	})
	reportAllocs(b, call)
	measure.Against(b, measure.Options{Goroutines: goroutines}, call, floor)
}

// joined is the price of a call that finds its key running in its process: the
// CPU time of 128 callers that join and get the answer, in turn with that of
// singleflight's. By CPU time, because they sleep most of the time.
func joined(b *testing.B, store backend.Backend) {
	const callers = 128
	x := newExecutor(b, store, idempotency.Options{})
	var flights singleflight.Group
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ours := func(key string, action func(context.Context) ([]byte, error)) error {
		_, err := idempotency.Run(ctx, x, key, action)
		return err
	}
	theirs := func(key string, action func(context.Context) ([]byte, error)) error {
		_, err, _ := flights.Do(key, func() (any, error) { return action(ctx) })
		return err
	}
	// again is what a caller runs that came too late to join: ours never does.
	round := func(do func(string, func(context.Context) ([]byte, error)) error, again func(context.Context) ([]byte, error)) time.Duration {
		key, payload := nextKey('j'), payloadOf(128)
		running, end, begin := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var group, ready sync.WaitGroup
		group.Go(func() {
			err := do(key, func(context.Context) ([]byte, error) { close(running); <-end; return payload, nil })
			if err != nil {
				b.Error(err)
			}
		})
		<-running
		ready.Add(callers)
		for range callers {
			group.Go(func() {
				ready.Done()
				<-begin
				if err := do(key, again); err != nil {
					b.Error(err)
				}
			})
		}
		ready.Wait()
		begun := measure.CPUTime()
		close(begin)
		time.Sleep(2 * time.Millisecond) // until they sleep, too
		close(end)
		group.Wait()
		return measure.CPUTime() - begun
	}
	plan := measure.PlanOf()
	if measure.CPUTime() == 0 {
		b.Skip("the CPU time of a process isn't known on this system")
	}
	var cost, floor []float64
	for range plan.Samples(11) {
		var a, z time.Duration
		rounds := plan.Samples(20)
		for range rounds {
			a += round(ours, notAgain)
			z += round(theirs, answer(payload128))
		}
		cost = append(cost, float64(a.Nanoseconds())/float64(rounds*callers))
		floor = append(floor, float64(z.Nanoseconds())/float64(rounds*callers))
	}
	if plan.Smoke() {
		return
	}
	ratios := make([]float64, len(cost))
	for i := range cost {
		ratios[i] = floor[i] / cost[i]
	}
	b.ReportMetric(measure.Median(cost), "ns/op")
	b.ReportMetric(measure.Median(floor), "floor-ns")
	b.ReportMetric(measure.Median(ratios), "x-floor")
}
