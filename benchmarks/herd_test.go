package benchmarks

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// runs of which the median is reported.
const runs = 20

// BenchmarkHerd is 1,000 callers of one key that another process holds: how long
// after the action's end the last of them has its answer, what all processes
// send in all, the holder's claim and commit included, and the connections that
// waiting takes.
func BenchmarkHerd(b *testing.B) {
	for _, client := range clients.Distinct() {
		for _, processes := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/%d-process/n=1000", client.Name, processes), func(b *testing.B) {
				n, plan := 1000, measure.PlanOf()
				if plan.Smoke() {
					n = 40
				}
				h := newHolder(b, client, processes)
				payload := payloadOf(128)
				commands, conns := h.count(b, n)
				b.ReportMetric(float64(commands), "cmds/op")
				b.ReportMetric(float64(conns), "conns")
				var all measure.Latencies
				for range plan.Samples(runs) {
					all = append(all, h.release(b, n, 20*time.Millisecond, payload))
				}
				reportLast(b, all)
			})
		}
	}
}

// count is what one herd sends, and how many connections the server has more
// than before while it waits.
func (h *holder) count(tb testing.TB, n int) (commands, conns int) {
	tb.Helper()
	monitor := redistest.Watch(tb, h.server.Addr())
	connections := func() int {
		return len(splitLines(h.do(tb, "CLIENT", "LIST").(string)))
	}
	before := connections()
	h.hold(tb, n, payloadOf(128), func(key string) {
		h.awaitSubscribers(tb, h.channel(tb, key), len(h.children))
		time.Sleep(50 * time.Millisecond)
		conns = connections() - before
	})
	// The last of it, the end of the subscription, comes after the answers.
	await(tb, "end of the subscriptions", func() (int, bool) {
		left := len(h.do(tb, "PUBSUB", "CHANNELS", "*").([]any))
		return left, left == 0
	})
	for _, command := range monitor.Stop() {
		switch command {
		case "PUBSUB CHANNELS", "PUBSUB NUMSUB":
		default:
			commands++
		}
	}
	return commands, conns
}

// reportLast reports last-ms: the median of the runs.
func reportLast(b *testing.B, all measure.Latencies) {
	if measure.PlanOf().Smoke() {
		return
	}
	b.ReportMetric(all.Quantile(0.5)*1e3, "ns/op")
	b.ReportMetric(all.Quantile(0.5)/1e3, "last-ms")
}

// BenchmarkCallers is 5 and 100 callers at once of an action of 50 ms: how long
// after its end the last of them has its answer, in the process of the action
// and in another one.
func BenchmarkCallers(b *testing.B) {
	for _, n := range []int{5, 100} {
		b.Run(fmt.Sprintf("memory/same/n=%d", n), func(b *testing.B) {
			store := memory.New()
			defer store.Close()
			callersHere(b, newExecutor(b, store, idempotency.Options{}), n)
		})
	}
	for _, client := range clients.Distinct() {
		for _, n := range []int{5, 100} {
			b.Run(fmt.Sprintf("%s/same/n=%d", client.Name, n), func(b *testing.B) {
				store := client.Open(b, redistest.Address(b), nil)
				clients.Warm(b, store)
				callersHere(b, newExecutor(b, store, idempotency.Options{}), n)
			})
			b.Run(fmt.Sprintf("%s/other/n=%d", client.Name, n), func(b *testing.B) {
				h := newHolder(b, client, 1)
				var all measure.Latencies
				for range measure.PlanOf().Samples(runs) {
					all = append(all, h.hold(b, n-1, payloadOf(128), func(string) { time.Sleep(50 * time.Millisecond) }))
				}
				reportLast(b, all)
			})
		}
	}
}

func callersHere(b *testing.B, x *idempotency.Executor, n int) {
	b.Helper()
	payload := payloadOf(128)
	var all measure.Latencies
	for range measure.PlanOf().Samples(runs) {
		key := nextKey('c')
		var group sync.WaitGroup
		var ended time.Time
		for range n {
			group.Go(func() {
				_, err := idempotency.Run(b.Context(), x, key, func(context.Context) ([]byte, error) {
					time.Sleep(50 * time.Millisecond)
					ended = time.Now()
					return payload, nil
				})
				if err != nil {
					b.Error(err)
				}
			})
		}
		group.Wait()
		all = append(all, time.Since(ended))
	}
	reportLast(b, all)
}
