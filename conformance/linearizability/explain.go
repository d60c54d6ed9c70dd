package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// verdict is what is said of the history of one key.
type verdict struct {
	decision
	history []*operation

	// Of an illegal one: the operation whose reply first made it so, the others
	// that it takes to see that, and, if one was found, an order of those with the
	// states after it.
	culprit *operation
	others  []*operation
	ordered []int
	after   []state

	resends int // that were tried too
}

// verdict decides on the history of a key, and looks for what is wrong with it.
func (c *checker) verdict(history []*operation) *verdict {
	v := &verdict{history: history, decision: c.decide(history), resends: c.resends}
	for _, o := range history {
		v.model.names.of(o.token)
	}
	if v.result == porcupine.Illegal {
		c.explain(v)
		earlier := sends(history, v.culprit)
		for n := 1; n <= c.resends && v.result != porcupine.Ok; n++ {
			c.resend(v, earlier, n, nil)
		}
	}
	return v
}

// explain finds the shortest beginning of the history that is illegal, and leaves
// out what isn't needed to see that it is.
func (c *checker) explain(v *verdict) {
	// Each of the many questions asked here may cost a part of what the verdict
	// may; one that can't be answered for it makes the explanation longer.
	c = &checker{tolerance: c.tolerance, timeout: c.timeout, steps: c.steps / 20}
	var returned []*operation
	for _, o := range v.history {
		if o.reply != lost {
			returned = append(returned, o)
		}
	}
	slices.SortFunc(returned, func(a, b *operation) int { return cmp.Compare(a.end, b.end) })
	at, _ := slices.BinarySearchFunc(returned, true, func(o *operation, _ bool) int {
		if d := c.decide(prefix(v.history, o)); d.result == porcupine.Illegal {
			return 1
		}
		return -1
	})
	// The search may be led astray by a beginning that couldn't be decided.
	v.culprit = returned[min(at, len(returned)-1)]
	needed := prefix(v.history, v.culprit)
	if bare := slices.DeleteFunc(slices.Clone(needed), func(o *operation) bool { return o != v.culprit && o.harmless() }); c.illegal(bare) {
		needed = bare
	}
	for _, o := range slices.Backward(slices.Clone(needed)) {
		if o == v.culprit || !o.harmless() {
			continue
		}
		if fewer := without(needed, o); c.illegal(fewer) {
			needed = fewer
		}
	}
	v.others = without(needed, v.culprit)
	if rest := c.decide(v.others); rest.result == porcupine.Ok {
		v.ordered, v.after = rest.order(v.others)
	}
}

func (c *checker) illegal(history []*operation) bool {
	d := c.decide(history)
	return d.result == porcupine.Illegal
}

// describe is the verdict in prose.
func (v *verdict) describe(key string) string {
	var b strings.Builder
	open := 0
	for _, o := range v.history {
		if o.reply == lost {
			open++
		}
	}
	if v.result != porcupine.Illegal {
		fmt.Fprintf(&b, "the history of key %q could not be decided: %d operations, %d of them of unknown outcome, are too many orders to try", key, len(v.history), open)
		fmt.Fprintf(&b, "\n\tmend: fewer operations or faults per key, or more time (Options.Operations, Options.Faults, Options.Timeout)")
		return b.String()
	}
	n := v.model.names
	fmt.Fprintf(&b, "no order of the operations on key %q agrees with the contract of package backend", key)
	if v.resends > 0 {
		fmt.Fprintf(&b, ", not if %d of them were applied once more before they returned either", v.resends)
	}
	fmt.Fprintf(&b, "\n\tof %d operations (%d of unknown outcome) it takes %d to see that; each took effect at one moment between its times, if at all", len(v.history), open, len(v.others)+1)
	numbers := map[*operation]int{}
	for i, o := range v.others {
		numbers[o] = i + 1
		fmt.Fprintf(&b, "\n\t%3d. %s", i+1, line(o, n))
	}
	fmt.Fprintf(&b, "\n\tthis one can't have been answered as it was:\n\t  *  %s", line(v.culprit, n))
	if len(v.ordered) > 0 {
		order := make([]string, len(v.ordered))
		for i, at := range v.ordered {
			order[i] = fmt.Sprint(numbers[v.others[at]])
		}
		fmt.Fprintf(&b, "\n\tan order that explains the others is %s; then the key is", strings.Join(order, ", "))
		var states []string
		for _, s := range v.after {
			states = append(states, s.describe(n))
		}
		b.WriteString(oneOf(states))
	}
	if answers := v.expected(n); len(answers) > 0 {
		fmt.Fprintf(&b, "\n\tand the contract's answer to * is%s", oneOf(answers))
	} else if len(v.after) > 0 {
		b.WriteString("\n\tand the contract has no answer to * at that time")
	}
	if o := v.culprit; o.verb == faults.Wait && o.record.State == backend.Claimed && o.record.Token == o.token {
		b.WriteString("\n\tmend: a Wait must not return while the token that it waits for holds the key")
	}
	return b.String()
}

// expected are the answers that the contract has for the culprit.
func (v *verdict) expected(n names) []string {
	var answers []string
	o := v.culprit
	for _, s := range v.after {
		for _, c := range v.model.outcomes(s, o) {
			answer := "success"
			switch {
			case o.verb != faults.Commit && o.verb != faults.Forget:
				answer = describe(c.after.record(c.shown), n)
				answer += v.model.times(&c, o)
				if o.verb == faults.Wait && c.shown == backend.Claimed && c.after.token == o.token {
					answer = "none yet: " + answer
				}
			case c.reply == superseded:
				answer = "superseded"
			}
			if !slices.Contains(answers, answer) {
				answers = append(answers, answer)
			}
		}
	}
	return answers
}

// times are what the answer says of the record's times.
func (m *model) times(c *outcome, o *operation) string {
	s, text := &c.after, ""
	if c.shown == backend.Claimed && c.left {
		text += ", lease left " + spread(s.setLo+s.lease-o.to, s.setHi+s.lease-s.now)
	}
	if o.verb == faults.Fetch && s.phase != unknown {
		text += ", remaining " + spread(s.setLo+s.end()-o.to, s.setHi+s.end()-s.now)
	}
	return text
}

func spread(lo, hi time.Duration) string {
	switch lo, hi := rounded(max(lo, 0)), rounded(hi); {
	case hi >= forever/2:
		return fmt.Sprintf("%v or more", lo)
	case lo == hi:
		return lo.String()
	default:
		return fmt.Sprintf("%v to %v", lo, hi)
	}
}

// oneOf lists what may be, some of it where that is much.
func oneOf(what []string) string {
	const most = 4
	more := ""
	if len(what) > most {
		more = fmt.Sprintf("\n\t\tor one of %d more", len(what)-most)
		what = what[:most]
	}
	return "\n\t\t" + strings.Join(what, "\n\t\tor ") + more
}

// line is one operation with its times.
func line(o *operation, n names) string {
	to := "?"
	if o.to < forever {
		to = rounded(o.to).String()
	}
	return fmt.Sprintf("[%v, %s] %s → %s (connection %d)", rounded(o.from), to, o.request(n), o.answer(n), o.process)
}
