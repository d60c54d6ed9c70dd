package measure

import (
	"runtime"
	"slices"
	"testing"
	"time"
)

// Median of values; it sorts a copy. Zero for none.
func Median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// Latencies collects durations.
type Latencies []time.Duration

// Quantile in microseconds: 0.5 is the median, 0.99 what one of a hundred
// exceeds.
func (l Latencies) Quantile(q float64) float64 {
	values := make([]float64, len(l))
	for i, d := range l {
		values[i] = float64(d) / float64(time.Microsecond)
	}
	return quantile(values, q)
}

// Report reports p50-us and p99-us.
func (l Latencies) Report(b *testing.B) {
	b.ReportMetric(l.Quantile(0.5), "p50-us")
	b.ReportMetric(l.Quantile(0.99), "p99-us")
}

// Allocs is how often one call of do allocates, in all goroutines of the
// process, and how many bytes: the least of three rounds of n calls, for what
// else goes on in the background only ever adds.
func Allocs(n int, do func()) (count, bytes float64) {
	do()
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range n {
			do()
		}
		runtime.ReadMemStats(&after)
		c := float64(after.Mallocs-before.Mallocs) / float64(n)
		if count == 0 || c < count {
			count, bytes = c, float64(after.TotalAlloc-before.TotalAlloc)/float64(n)
		}
	}
	return count, bytes
}
