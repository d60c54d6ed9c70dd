//go:build unix

package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// counts is what happened in a scenario, for its reader.
type counts struct {
	calls, commands         int
	outcomes, ways, crashes map[string]int
	kills, stops, forgotten int
	takeovers, runs         int
	notes                   map[string]int
	losses                  map[string]map[string]bool // keys by rule
	worst                   time.Duration
	granted                 map[string]bool
}

func newCounts() counts {
	return counts{
		outcomes: map[string]int{}, ways: map[string]int{}, crashes: map[string]int{}, notes: map[string]int{},
		losses: map[string]map[string]bool{}, granted: map[string]bool{},
	}
}

func (c *counts) add(e event) {
	switch e.Kind {
	case evAnswer:
		c.calls++
		c.outcomes[e.What]++
		c.ways[e.How]++
	case evRun:
		c.runs++
	case evCrash:
		c.crashes[e.What]++
	case evKill:
		c.kills++
	case evStop:
		c.stops++
	case evForget:
		c.forgotten++
	case evNote:
		c.notes[e.What]++
	case evGranted:
		if e.Attempt > 1 && !e.Renewal && !c.granted[e.Token] {
			c.takeovers++
			c.granted[e.Token] = true
		}
	}
}

func (c *counts) lose(rule, key string) {
	if c.losses[rule] == nil {
		c.losses[rule] = map[string]bool{}
	}
	c.losses[rule][key] = true
}

func (c *counts) overshoot(d time.Duration) { c.worst = max(c.worst, d) }

func (c *counts) lost() int {
	keys := map[string]bool{}
	for _, byRule := range c.losses {
		maps.Copy(keys, byRule)
	}
	return len(keys)
}

// summary is some lines of text.
func (c *counts) summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "calls %d (%s)\n", c.calls, listed(c.outcomes))
	fmt.Fprintf(&b, "answered as: %s\n", listed(c.ways))
	fmt.Fprintf(&b, "actions run %d, later attempts granted %d, commands per call %.2f\n", c.runs, c.takeovers, float64(c.commands)/float64(max(c.calls, 1)))
	fmt.Fprintf(&b, "crashes: by the parent %d, %s\n", c.kills, listed(c.crashes))
	fmt.Fprintf(&b, "stopped %d, keys forgotten by hand %d, to the server: %s\n", c.stops, c.forgotten, listed(c.notes))
	fmt.Fprintf(&b, "latest return after a deadline: %v\n", c.worst.Round(time.Millisecond))
	fmt.Fprintf(&b, "keys of which the store forgot what it had confirmed: %d", c.lost())
	for _, rule := range slices.Sorted(maps.Keys(c.losses)) {
		fmt.Fprintf(&b, "\n  against %q: %d", rule, len(c.losses[rule]))
	}
	return b.String()
}

func listed(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
