package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// BenchmarkScale is how cost grows: with records in the store, with callers that
// wait for one key, with the size of the answer, with actions in flight whose
// leases are renewed, and with the connections of a pool.
func BenchmarkScale(b *testing.B) {
	b.Run("keys", scaleKeys)
	b.Run("waiters", scaleWaiters)
	b.Run("payload", scalePayload)
	b.Run("renewals", scaleRenewals)
	b.Run("pool", scalePool)
}

// scaleKeys reports memory per record, and the latency of fresh calls and
// replays beside so many records.
func scaleKeys(b *testing.B) {
	for _, n := range upTo(10_000, 1_000_000) {
		b.Run(fmt.Sprintf("memory/n=%d", n), func(b *testing.B) {
			store := memory.New()
			b.Cleanup(func() { store.Close() })
			x := newExecutor(b, store, idempotency.Options{})
			n := measured(n)
			before := heap()
			fill(b, x, n)
			b.ReportMetric((heap()-before)/float64(n), "B/record")
			latencies(b, x, n)
			runtime.KeepAlive(store)
		})
	}
	for _, n := range upTo(10_000, 1_000_000) {
		b.Run(fmt.Sprintf("goredis/n=%d", n), func(b *testing.B) {
			server := redistest.Start(b)
			store := clients.All[0].Open(b, server.Addr(), nil)
			clients.Warm(b, store)
			x := newExecutor(b, store, idempotency.Options{})
			n := measured(n)
			before := infoField(b, server, "memory", "used_memory")
			fill(b, x, min(n, 10_000))
			if n > 10_000 {
				multiply(b, server, x, 10_000, n)
			}
			b.ReportMetric((infoField(b, server, "memory", "used_memory")-before)/float64(n), "B/record")
			pin(b, server.Process().Pid)
			latencies(b, x, n)
		})
	}
}

// measured is n, or a few in a smoke run.
func measured(n int) int {
	if measure.PlanOf().Smoke() {
		return min(n, 200)
	}
	return n
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// fill completes n keys.
func fill(b *testing.B, x *idempotency.Executor, n int) {
	b.Helper()
	payload := payloadOf(128)
	var group sync.WaitGroup
	const workers = 16
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				if _, err := idempotency.Run(b.Context(), x, clients.Key('k', uint64(i)), answer(payload)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// multiply copies the record of one key, value and time to live, to the keys from
// first to last, in the server: what a million calls would leave, sooner.
func multiply(b *testing.B, server *redistest.Server, x *idempotency.Executor, first, last int) {
	b.Helper()
	probe := clients.Key('k', 0)
	var name string
	for _, found := range redistest.Do(b, server.Addr(), "KEYS", "*"+probe).([]any) {
		name = found.(string)
	}
	const script = `
		local value, ttl = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
		local head = string.sub(KEYS[1], 1, #KEYS[1] - 15)
		for i = tonumber(ARGV[1]), tonumber(ARGV[2]) - 1 do
			redis.call('SET', head .. string.format('%015d', i), value, 'PX', ttl)
		end`
	for ; first < last; first += 10_000 {
		redistest.Do(b, server.Addr(), "EVAL", script, "1", name, strconv.Itoa(first), strconv.Itoa(min(last, first+10_000)))
	}
}

// latencies reports those of replays of the n keys, at random, and of fresh
// calls between them.
func latencies(b *testing.B, x *idempotency.Executor, n int) {
	b.Helper()
	if measure.PlanOf().Smoke() {
		return
	}
	var replays, fresh measure.Latencies
	payload := payloadOf(128)
	for range measure.PlanOf().Samples(4000) {
		// The names of the multiplied records have other slot tags: replay those
		// that calls made, which lie among them.
		key := clients.Key('k', rand.Uint64N(uint64(min(n, 10_000))))
		begun := time.Now()
		if _, err := idempotency.Run(b.Context(), x, key, notAgain); err != nil {
			b.Fatal(err)
		}
		replays = append(replays, time.Since(begun))
		key, begun = nextKey('f'), time.Now()
		if _, err := idempotency.Run(b.Context(), x, key, answer(payload)); err != nil {
			b.Fatal(err)
		}
		fresh = append(fresh, time.Since(begun))
	}
	b.ReportMetric(replays.Quantile(0.5)*1e3, "ns/op")
	b.ReportMetric(replays.Quantile(0.5), "replay-p50-us")
	b.ReportMetric(replays.Quantile(0.99), "replay-p99-us")
	b.ReportMetric(fresh.Quantile(0.5), "fresh-p50-us")
	b.ReportMetric(fresh.Quantile(0.99), "fresh-p99-us")
}

// scaleWaiters reports, for callers in another process, what BenchmarkHerd does.
func scaleWaiters(b *testing.B) {
	for _, client := range clients.Distinct() {
		for _, n := range upTo(1, 10, 100, 1000, 10_000) {
			b.Run(fmt.Sprintf("%s/n=%d", client.Name, n), func(b *testing.B) {
				h := newHolder(b, client, 1)
				commands, conns := h.count(b, n)
				b.ReportMetric(float64(commands), "cmds/op")
				b.ReportMetric(float64(conns), "conns")
				var all measure.Latencies
				for range measure.PlanOf().Samples(5) {
					all = append(all, h.release(b, n, 20*time.Millisecond+time.Duration(n)*10*time.Microsecond, payloadOf(128)))
				}
				reportLast(b, all)
			})
		}
	}
}

// scalePayload reports the ratio to two SETs, or to a GET, of the same size.
func scalePayload(b *testing.B) {
	for _, client := range clients.Distinct() {
		b.Run(client.Name, func(b *testing.B) {
			r := newRig(b, client)
			pin(b, r.server.Process().Pid)
			what := []string{"fresh", "replay"}
			if client.Caches {
				what = []string{"fresh", "hot"}
			}
			for _, what := range what {
				sizes := []int{0, 128, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}
				if measure.PlanOf().Short() {
					sizes = []int{128, 4 << 10, 64 << 10}
				}
				for _, size := range sizes {
					b.Run(what+"/size="+sizeName(size), func(b *testing.B) {
						a := r.against(b, what, payloadOf(size), 1)
						measure.Against(b, a.options(1), a.call(r.x), a.floor)
						if what != "fresh" {
							r.empty(b)
						}
					})
				}
			}
		})
	}
}

// scaleRenewals keeps actions in flight for a while whose leases are renewed
// every two seconds, and reports what that costs: commands and round trips per
// second, goroutines per action, CPU time of the process and of the server per
// second, and how many leases were lost because that was too much.
func scaleRenewals(b *testing.B) {
	const lease = 6 * time.Second
	counts := []int{100, 1000, 10_000}
	if measure.PlanOf().Short() {
		counts = counts[:1]
	}
	for _, n := range counts {
		b.Run(fmt.Sprintf("memory/n=%d", n), func(b *testing.B) {
			store := memory.New()
			b.Cleanup(func() { store.Close() })
			renewals(b, store, nil, nil, measured(n), lease)
		})
		for _, client := range clients.Distinct() {
			b.Run(fmt.Sprintf("%s/n=%d", client.Name, n), func(b *testing.B) {
				server, tap := redistest.Start(b), new(measure.Tap)
				store := client.Open(b, server.Addr(), tap.Dial)
				clients.Warm(b, store)
				renewals(b, store, server, tap, measured(n), lease)
			})
		}
	}
}

func renewals(b *testing.B, store backend.Backend, server *redistest.Server, tap *measure.Tap, n int, lease time.Duration) {
	b.Helper()
	window := lease / 3 // one renewal of each
	if measure.PlanOf().Smoke() {
		window = 20 * time.Millisecond
	}
	x := newExecutor(b, store, idempotency.Options{Lease: lease})
	before := runtime.NumGoroutine()
	end := make(chan struct{})
	var running, group sync.WaitGroup
	var lost atomic.Int64
	running.Add(n)
	for range n {
		key := nextKey('l')
		group.Go(func() {
			err := idempotency.Exec(b.Context(), x, key, func(ctx context.Context) error {
				running.Done()
				select {
				case <-end:
				case <-ctx.Done():
				}
				return context.Cause(ctx)
			})
			if errors.Is(err, idempotency.ErrLeaseLost) {
				lost.Add(1) // client or server could not keep up
			} else if err != nil {
				b.Error(err)
			}
		})
	}
	running.Wait()
	time.Sleep(window + window/2) // renewals have begun
	if tap != nil {
		tap.Take()
	}
	var serverBefore time.Duration
	if server != nil {
		serverBefore = serverCPU(b, server)
	}
	cpu, begun := measure.CPUTime(), time.Now()
	time.Sleep(window)
	seconds := time.Since(begun).Seconds()
	used := measure.CPUTime() - cpu
	b.ReportMetric(float64(runtime.NumGoroutine()-before)/float64(n), "goroutines/action")
	b.ReportMetric(used.Seconds()/seconds*1e3, "cpu-ms/s")
	if tap != nil {
		b.ReportMetric((serverCPU(b, server)-serverBefore).Seconds()/seconds*1e3, "server-cpu-ms/s")
		commands, trips := tap.Count()
		b.ReportMetric(float64(commands)/seconds, "cmds/s")
		b.ReportMetric(float64(trips)/seconds, "rtt/s")
		b.ReportMetric(float64(tap.Conns()), "conns")
	}
	close(end)
	group.Wait()
	b.ReportMetric(float64(lost.Load()), "leases-lost")
	b.ReportMetric(0, "ns/op")
}

// scalePool reports fresh calls of 128 goroutines by the size of their pool.
func scalePool(b *testing.B) {
	for _, size := range upTo(1, 4, 16, 64, 128) {
		for _, client := range clients.Pools(size) {
			b.Run(fmt.Sprintf("%s/size=%d", client.Name, size), func(b *testing.B) {
				server := redistest.Start(b)
				store := client.Open(b, server.Addr(), nil)
				clients.Warm(b, store)
				x := newExecutor(b, store, idempotency.Options{})
				payload := payloadOf(128)
				call := repeat("call", func(ctx context.Context) error {
					_, err := idempotency.Run(ctx, x, nextKey('f'), answer(payload))
					return err
				})
				measure.Against(b, measure.Options{Goroutines: clients.MaxGoroutines}, call)
			})
		}
	}
}
