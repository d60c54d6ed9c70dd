package measure

import (
	"flag"
	"strconv"
	"strings"
	"time"
)

const (
	slice    = 10 * time.Millisecond
	perBlock = 5 // slices of a contender in a block, at most
	// Blocks is the least number of blocks of which the median is taken.
	Blocks = 5
)

// Plan says how long to measure. It follows -benchtime: a duration is the time
// that each contender gets, a count like "10x" is the number of operations of
// each, which shows only that everything works.
type Plan struct {
	Slices int // of each contender in a block
	Blocks int
	Ops    int // operations of each contender in place of slices; zero: by time
	Length time.Duration
}

// Smoke tells that no figure is wanted.
func (p Plan) Smoke() bool { return p.Ops > 0 }

// Short tells that there is no time for what takes seconds: a smoke run, or less
// than 100 ms for each contender.
func (p Plan) Short() bool { return p.Length < 100*time.Millisecond }

// Samples is how often to do what can't be sliced: full times, a fifth of that
// where time is short, and once in a smoke run.
func (p Plan) Samples(full int) int {
	switch {
	case p.Smoke():
		return 1
	case p.Short():
		return (full + 4) / 5
	}
	return full
}

// PlanOf reads -benchtime.
func PlanOf() Plan {
	text := "1s"
	if f := flag.Lookup("test.benchtime"); f != nil {
		text = f.Value.String()
	}
	return parsePlan(text)
}

func parsePlan(text string) Plan {
	if count, ok := strings.CutSuffix(text, "x"); ok {
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 {
			n = 1
		}
		return Plan{Slices: 1, Blocks: 1, Ops: n}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		d = time.Second
	}
	n := max(1, min(perBlock, int(d/(Blocks*slice))))
	return Plan{Slices: n, Blocks: max(Blocks, int(d/(time.Duration(n)*slice))), Length: d}
}
