package benchmarks

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// settle is how long after its subscription a waiter has looked at the record
// and sleeps.
const settle = 3 * time.Millisecond

// BenchmarkWake is how long after the end of the action a caller in another
// process has its answer, in turn with how long after a PUBLISH a subscriber in
// that process has the message: p50-x-raw and p99-x-raw are the ratios of those
// latencies, 1 is as fast.
func BenchmarkWake(b *testing.B) {
	for _, client := range clients.Distinct() {
		b.Run(client.Name, func(b *testing.B) {
			h := newHolder(b, client, 1)
			payload := payloadOf(128)
			var ours, raw measure.Latencies
			for range measure.PlanOf().Samples(300) {
				ours = append(ours, h.release(b, 1, settle, payload))
				channel := "raw-" + nextKey('w')
				h.children[0].Ask("subscribe", channel)
				h.awaitSubscribers(b, channel, 1)
				time.Sleep(settle)
				begun := time.Now()
				if err := h.bare.Publish(b.Context(), channel, string(payload)); err != nil {
					b.Fatal(err)
				}
				raw = append(raw, h.last(b).Sub(begun))
			}
			if measure.PlanOf().Smoke() {
				return
			}
			b.ReportMetric(ours.Quantile(0.5)*1e3, "ns/op")
			ours.Report(b)
			b.ReportMetric(raw.Quantile(0.5), "raw-p50-us")
			b.ReportMetric(raw.Quantile(0.99), "raw-p99-us")
			b.ReportMetric(ours.Quantile(0.5)/raw.Quantile(0.5), "p50-x-raw")
			b.ReportMetric(ours.Quantile(0.99)/raw.Quantile(0.99), "p99-x-raw")
		})
	}
}

// holder runs the action of keys for which others wait, here and in child
// processes.
type holder struct {
	server   *redistest.Server
	client   clients.Client
	x        *idempotency.Executor
	bare     clients.Bare
	children []*measure.Child
	control  *redistest.Conn
}

func newHolder(tb testing.TB, client clients.Client, processes int) *holder {
	tb.Helper()
	h := &holder{server: redistest.Start(tb), client: client}
	store := client.Open(tb, h.server.Addr(), nil)
	clients.Warm(tb, store)
	h.x = newExecutor(tb, store, idempotency.Options{})
	h.bare = client.Bare(tb, h.server.Addr())
	var err error
	if h.control, err = redistest.Dial(h.server.Addr()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { h.control.Close() })
	for range processes {
		child := measure.Start(tb)
		child.Ask("open", client.Name, h.server.Addr())
		h.children = append(h.children, child)
	}
	return h
}

// release lets n callers, spread over the children, wait for an action that
// ends once all of them sleep, and returns how long after that the last of them
// was answered. With no children they wait in this process.
func (h *holder) release(tb testing.TB, n int, settle time.Duration, payload []byte) time.Duration {
	tb.Helper()
	return h.hold(tb, n, payload, func(key string) {
		h.awaitSubscribers(tb, h.channel(tb, key), len(h.children))
		time.Sleep(settle)
	})
}

// hold is release with another way to know when the action may end.
func (h *holder) hold(tb testing.TB, n int, payload []byte, until func(key string)) time.Duration {
	tb.Helper()
	key := nextKey('h')
	running, end, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var at time.Time
	go func() {
		_, err := idempotency.Run(tb.Context(), h.x, key, func(context.Context) ([]byte, error) {
			close(running)
			<-end
			at = time.Now()
			return payload, nil
		})
		ended <- err
	}()
	<-running
	for i, child := range h.children {
		child.Tell("run", key, n/len(h.children)+min(1, max(0, n%len(h.children)-i)))
	}
	for _, child := range h.children {
		child.Hear()
	}
	until(key)
	close(end)
	last := h.last(tb)
	if err := <-ended; err != nil {
		tb.Fatal(err)
	}
	return last.Sub(at)
}

// last is when the last caller was answered.
func (h *holder) last(tb testing.TB) (at time.Time) {
	tb.Helper()
	for _, child := range h.children {
		nanoseconds, err := strconv.ParseInt(child.Ask("last"), 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if t := time.Unix(0, nanoseconds); t.After(at) {
			at = t
		}
	}
	return at
}

func (h *holder) do(tb testing.TB, args ...string) any {
	tb.Helper()
	reply, err := h.control.Do(args...)
	if err != nil {
		tb.Fatal(err)
	}
	return reply
}

// channel is the channel on which those who wait for a key are woken, once there
// is one.
func (h *holder) channel(tb testing.TB, key string) string {
	tb.Helper()
	return await(tb, "a subscription", func() (string, bool) {
		for _, channel := range h.do(tb, "PUBSUB", "CHANNELS", "*").([]any) {
			if name := channel.(string); strings.Contains(name, key) {
				return name, true
			}
		}
		return "", false
	})
}

func (h *holder) awaitSubscribers(tb testing.TB, channel string, want int) {
	tb.Helper()
	await(tb, "subscribers", func() (int64, bool) {
		n := h.do(tb, "PUBSUB", "NUMSUB", channel).([]any)[1].(int64)
		return n, n >= int64(want)
	})
}

// await asks until it holds.
func await[T any](tb testing.TB, what string, ask func() (T, bool)) T {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		value, holds := ask()
		if holds {
			return value
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no %s in 30 s: %v", what, value)
		}
		time.Sleep(200 * time.Microsecond)
	}
}
