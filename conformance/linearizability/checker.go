package linearizability

import (
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// maxSteps is how many steps of the model a key may cost. The checker remembers
// most of them: a million are some hundred MiB.
const maxSteps = 1_000_000

// checker decides on histories of one key.
type checker struct {
	tolerance, timeout time.Duration
	steps              int64
	resends            int
}

// decision is the checker's on one history.
type decision struct {
	model  *model
	result porcupine.CheckResult
	info   porcupine.LinearizationInfo
}

func (c *checker) decide(history []*operation) decision {
	m := newModel(c.tolerance, c.steps)
	operations := make([]porcupine.Operation, len(history))
	for i, o := range history {
		operations[i] = porcupine.Operation{Input: o, Call: o.begin, Output: o, Return: o.end}
	}
	lanes(operations)
	result, info := porcupine.CheckOperationsVerbose(m.porcupine(), operations, c.timeout)
	if m.spent() {
		result = porcupine.Unknown
	}
	return decision{model: m, result: result, info: info}
}

// order is the order of a legal history's operations, and the states after them.
func (d *decision) order(history []*operation) (ordered []int, after []state) {
	after = []state{{}}
	partials := d.info.PartialLinearizations()
	if len(partials) == 0 || len(partials[0]) == 0 {
		return nil, after // an empty history
	}
	d.model.steps.Store(math.MaxInt64)
	for _, at := range partials[0][0] {
		var next []state
		for _, s := range after {
			for _, n := range d.model.step(s, history[at]) {
				if !slices.Contains(next, n) {
					next = append(next, n)
				}
			}
		}
		ordered, after = append(ordered, at), next
	}
	return ordered, after
}

// lanes gives operations that overlap different clients, for the picture.
func lanes(operations []porcupine.Operation) {
	var free []int64
	for i := range operations {
		o := &operations[i]
		lane := slices.IndexFunc(free, func(end int64) bool { return end < o.Call })
		if lane < 0 {
			lane = len(free)
			free = append(free, 0)
		}
		free[lane] = o.Return
		o.ClientId = lane
	}
}

// prefix is the history as it stood when the operation at last had returned:
// what was called later isn't part of it, and what hadn't returned is of unknown
// outcome, or, where it is known by now to have done nothing, no part either.
// Histories that have an order have one for each prefix.
func prefix(history []*operation, last *operation) []*operation {
	var before []*operation
	for _, o := range history {
		switch {
		case o.begin > last.end:
		case o.end <= last.end, o.reply == lost:
			before = append(before, o)
		case o.harmless(): // and turns out to have done nothing
		default:
			pending := *o
			pending.reply, pending.err, pending.end, pending.to = lost, nil, math.MaxInt64, forever
			before = append(before, &pending)
		}
	}
	return before
}

// without is the history but for one operation.
func without(history []*operation, left *operation) []*operation {
	rest := make([]*operation, 0, len(history))
	for _, o := range history {
		if o != left {
			rest = append(rest, o)
		}
	}
	return rest
}
