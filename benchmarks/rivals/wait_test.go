package rivals

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/measure"
)

// rounds of which the median is reported, at most; those who take seconds for one
// get as many as fit into patience, and three at least.
const (
	rounds   = 7
	patience = 3 * time.Second
)

// callerCounts are the callers at once; a smoke run has the few only.
func callerCounts() []int {
	if measure.PlanOf().Smoke() {
		return []int{5}
	}
	return []int{5, 100}
}

// benchmarkWait is 5 and 100 callers at once, spread over instances that stand
// for processes: each has clients of its own. One more round is counted, on
// instances with a tap.
func benchmarkWait(b *testing.B, instances, onTap []Do, tap *measure.Tap) {
	for _, n := range callerCounts() {
		b.Run("c="+strconv.Itoa(n), func(b *testing.B) {
			round := func(instances []Do) time.Duration {
				key := nextKey()
				last, err := together(b.Context(), n, func(ctx context.Context, caller int, work func() []byte) error {
					value, err := instances[caller%len(instances)](ctx, key, func(context.Context) ([]byte, error) { return work(), nil })
					if err == nil && len(value) != len(payload) {
						return errReply
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
				return last
			}
			reportWait(b, func() time.Duration { return round(instances) }, tap, func() { round(onTap) })
		})
	}
}

// reportWait reports the median of some rounds and what one more sends.
func reportWait(b *testing.B, round func() time.Duration, tap *measure.Tap, counted func()) {
	b.Helper()
	plan := measure.PlanOf()
	var all measure.Latencies
	begun := time.Now()
	for range plan.Samples(rounds) {
		if len(all) >= 3 && time.Since(begun) > patience {
			break
		}
		all = append(all, round())
	}
	if tap != nil {
		tap.Take()
		counted()
		commands, trips := tap.Count()
		b.ReportMetric(float64(commands), "cmds/op")
		b.ReportMetric(float64(trips), "rtt/op")
	}
	if plan.Smoke() {
		return
	}
	b.ReportMetric(all.Quantile(0.5)*1e3, "ns/op")
	b.ReportMetric(all.Quantile(0.5)/1e3, "last-ms")
}

// together starts n callers at once of an action of 50 ms, and returns how long
// after its end the last of them has its answer. An action that doesn't run
// exactly once is an error.
func together(ctx context.Context, n int, call func(ctx context.Context, caller int, work func() []byte) error) (last time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var ended atomic.Pointer[time.Time]
	var runs atomic.Int64
	work := func() []byte {
		runs.Add(1)
		time.Sleep(50 * time.Millisecond)
		now := time.Now()
		ended.Store(&now)
		return payload
	}
	var group, ready sync.WaitGroup
	begin, errs := make(chan struct{}), make([]error, n)
	ready.Add(n)
	for i := range n {
		group.Go(func() {
			ready.Done()
			<-begin
			errs[i] = call(ctx, i, work)
		})
	}
	ready.Wait()
	close(begin)
	group.Wait()
	now := time.Now()
	for i, err := range errs {
		if err != nil {
			return 0, fmt.Errorf("caller %d of %d: %w", i+1, n, err)
		}
	}
	if runs.Load() != 1 {
		return 0, fmt.Errorf("ran %d times for %d callers", runs.Load(), n)
	}
	return now.Sub(*ended.Load()), nil
}
