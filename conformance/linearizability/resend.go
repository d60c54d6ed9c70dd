package linearizability

import (
	"cmp"
	"slices"

	"github.com/anishathalye/porcupine"
)

// resend makes an illegal verdict one that says legal, if so many of the sends,
// beside those that were chosen before, make the history legal. The checker is
// asked for each choice: it couldn't decide on all sends at once, and few of them
// were ever made.
func (c *checker) resend(v *verdict, sends []*operation, n int, chosen []*operation) {
	if n == 0 {
		history := slices.Concat(v.history, chosen)
		sortByCall(history)
		switch d := c.decide(history); d.result {
		case porcupine.Ok:
			*v = verdict{decision: d, history: history}
		case porcupine.Unknown:
			v.result = porcupine.Unknown
		}
		return
	}
	for i, send := range sends {
		if v.result == porcupine.Ok {
			return
		}
		c.resend(v, sends[i:], n-1, append(slices.Clone(chosen), send))
	}
}

// sends are earlier sends of the calls that were made before the last one had
// returned. Each may have been applied at any time until its own call returned.
func sends(history []*operation, last *operation) []*operation {
	var all []*operation
	for _, o := range history {
		if o.reads() || o.returned == 0 || o.begin > last.end {
			continue
		}
		earlier := *o
		earlier.reply, earlier.resent = lost, true
		earlier.end, earlier.to = o.returned, o.returnedAt
		all = append(all, &earlier)
	}
	return all
}

func sortByCall(history []*operation) {
	slices.SortStableFunc(history, func(a, b *operation) int { return cmp.Compare(a.begin, b.begin) })
}
