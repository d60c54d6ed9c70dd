package conformance

import (
	"slices"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// benchWake has others wait for a key and commits it. Whether they are asleep
// can't be seen from outside, so that each round gives them some milliseconds;
// who comes later finds the outcome by looking, and counts all the same.
func benchWake(w *bench) {
	w.life = max(w.life, time.Minute) // whoever is slow must find the outcome
	latencies := make([]time.Duration, 0, w.N*w.goroutines)
	settle := w.settling()
	for range w.N {
		s := w.slots(1)
		if err := w.take(&s[0]); err != nil {
			w.Fatal(err)
		}
		type woken struct {
			at  time.Time
			err error
		}
		replies := make(chan woken, w.goroutines)
		for range w.goroutines {
			go func() {
				record, err := w.other.Wait(w.ctx, s[0].key, s[0].token)
				at := time.Now()
				replies <- woken{at, expect("Wait", record, err, backend.Completed, s[0].token)}
			}()
		}
		time.Sleep(settle)
		sent := time.Now()
		if err := w.complete(&s[0]); err != nil {
			w.Fatal(err)
		}
		for range w.goroutines {
			reply := <-replies
			if reply.err != nil {
				w.Fatal(reply.err)
			}
			latencies = append(latencies, reply.at.Sub(sent))
		}
		w.forget(s)
	}
	slices.Sort(latencies)
	sum := time.Duration(0)
	for _, d := range latencies {
		sum += d
	}
	at := func(percent int) float64 { return float64(latencies[(len(latencies)-1)*percent/100]) }
	w.ReportMetric(float64(sum)/float64(len(latencies)), "ns/op")
	w.ReportMetric(at(50), "p50-ns")
	w.ReportMetric(at(99), "p99-ns")
}

// settling is how long those who wait get to fall asleep: ten round trips.
func (w *bench) settling() time.Duration {
	w.Helper()
	start := time.Now()
	for range 10 {
		if _, err := w.other.Fetch(w.ctx, w.series); err != nil {
			w.Fatal(err)
		}
	}
	return max(2*time.Millisecond, time.Since(start))
}

// benchRatios runs the verbs in turn, so that what else the machine does hits
// all of them.
func benchRatios(w *bench) {
	completed, held := w.prepared(hot, w.fresh), w.prepared(w.goroutines, w.take)
	perBlock := max(32, 2*w.goroutines)
	verbs := []struct {
		name    string
		prepare func(*slot) error
		fresh   bool // a key each, which is forgotten afterwards
		slots   []slot
		do      func(*slot) error
	}{
		{name: "fetch", slots: completed, do: w.look},
		{name: "fresh", fresh: true, do: w.fresh},
		{name: "replay", slots: completed, do: w.replay},
		{name: "lost", slots: held, do: w.lose},
		{name: "renewal", slots: held, do: w.renew},
		{name: "release", fresh: true, prepare: w.take, do: w.release},
		{name: "takeover", fresh: true, prepare: w.take, do: w.takeOver},
	}
	ratios := make([][]float64, len(verbs))
	for range w.N {
		var floor time.Duration
		for v, verb := range verbs {
			slots := verb.slots
			if verb.fresh {
				slots = w.slots(perBlock)
			}
			if verb.prepare != nil {
				w.spread(len(slots), func(_, i int) error { return verb.prepare(&slots[i]) })
			}
			start := time.Now()
			w.spread(perBlock, func(_, i int) error { return verb.do(&slots[i%len(slots)]) })
			took := max(time.Since(start), 1)
			if v == 0 {
				floor = took
			}
			ratios[v] = append(ratios[v], float64(floor)/float64(took))
			if verb.fresh {
				w.forget(slots)
			}
		}
	}
	w.ReportMetric(0, "ns/op") // of a block: it means nothing
	for v, verb := range verbs[1:] {
		r := ratios[v+1]
		slices.Sort(r)
		w.ReportMetric(r[len(r)/2], verb.name+"/fetch")
	}
}
