package measure

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// Contender is one thing to measure. Run does it n times, as one of several
// goroutines.
type Contender struct {
	Name string
	Run  func(ctx context.Context, goroutine, n int) error
}

// Comparison is what [Compare] found, by the places of the contenders.
type Comparison struct {
	contenders []Contender
	rates      [][]float64 // of each contender, by block: operations per second
}

// Ns is the time of one operation of contender i in nanoseconds: the median of
// the blocks.
func (c Comparison) Ns(i int) float64 { return 1e9 / Median(c.rates[i]) }

// Ratio is the throughput of contender i divided by that of contender j: the
// median of the ratios within the blocks.
func (c Comparison) Ratio(i, j int) float64 {
	ratios := make([]float64, len(c.rates[i]))
	for block := range ratios {
		ratios[block] = c.rates[i][block] / c.rates[j][block]
	}
	return Median(ratios)
}

// Options of a comparison.
type Options struct {
	// Goroutines is how many do the same at once. Zero: one.
	Goroutines int
	// Between runs between blocks, where nothing is measured, to remove what was
	// left behind.
	Between func()
}

// Compare measures contenders in interleaved slices.
func Compare(ctx context.Context, plan Plan, options Options, contenders ...Contender) (Comparison, error) {
	ctx, cancel := context.WithCancel(ctx) // as every HTTP request has one
	defer cancel()
	options.Goroutines = max(1, options.Goroutines)
	c := Comparison{contenders: contenders, rates: make([][]float64, len(contenders))}
	batches := make([]int, len(contenders))
	for i, contender := range contenders {
		batches[i] = max(1, plan.Ops/options.Goroutines)
		if plan.Smoke() {
			continue
		}
		batches[i] = 1
		done, elapsed, err := run(ctx, contender, options.Goroutines, 1, 2*slice)
		if err != nil {
			return c, err
		}
		// So that the clock is read every quarter of a millisecond.
		batches[i] = max(1, int(float64(done)/elapsed.Seconds()/float64(options.Goroutines)/4000))
	}
	for range plan.Blocks {
		done, elapsed := make([]int, len(contenders)), make([]time.Duration, len(contenders))
		for range plan.Slices {
			for i, contender := range contenders {
				length := slice
				if plan.Smoke() {
					length = 0
				} else if err := contender.Run(ctx, 0, 1); err != nil { // it was idle while the others ran
					return c, fmt.Errorf("%s: %w", contender.Name, err)
				}
				n, t, err := run(ctx, contender, options.Goroutines, batches[i], length)
				if err != nil {
					return c, err
				}
				done[i] += n
				elapsed[i] += t
			}
		}
		for i := range contenders {
			c.rates[i] = append(c.rates[i], float64(done[i])/max(elapsed[i], 1).Seconds())
		}
		if options.Between != nil {
			options.Between()
		}
	}
	return c, nil
}

// run lets the goroutines work for a time, at least one batch each.
func run(ctx context.Context, contender Contender, goroutines, batch int, length time.Duration) (done int, elapsed time.Duration, err error) {
	var group sync.WaitGroup
	counts, errs := make([]int, goroutines), make([]error, goroutines)
	begun := time.Now()
	for g := range goroutines {
		group.Go(func() {
			for counts[g] == 0 || time.Since(begun) < length {
				if errs[g] = contender.Run(ctx, g, batch); errs[g] != nil {
					return
				}
				counts[g] += batch
			}
		})
	}
	group.Wait()
	elapsed = time.Since(begun)
	for g := range goroutines {
		done += counts[g]
		if errs[g] != nil {
			err = fmt.Errorf("%s: %w", contender.Name, errs[g])
		}
	}
	return done, elapsed, err
}

// Against compares a subject with references, and reports the subject's time as
// ns/op, its ratio to each reference as x-NAME and the reference's time as
// NAME-ns. A smoke run reports none of them. The function that calls it measures
// once, whatever b.N.
func Against(b *testing.B, options Options, subject Contender, references ...Contender) Comparison {
	b.Helper()
	plan := PlanOf()
	all := append([]Contender{subject}, references...)
	c, err := Compare(b.Context(), plan, options, all...)
	if err != nil {
		b.Fatal(err)
	}
	if plan.Smoke() {
		return c
	}
	b.ReportMetric(c.Ns(0), "ns/op")
	for i, reference := range references {
		b.ReportMetric(c.Ratio(0, i+1), "x-"+reference.Name)
		b.ReportMetric(c.Ns(i+1), reference.Name+"-ns")
	}
	return c
}
