package main

import (
	"fmt"
	"regexp"
	"strings"
)

// goal is what the project means to reach. Each of its terms must hold for every
// benchmark that it matches.
type goal struct {
	what  string
	want  string
	terms []term
}

// term is a bound on one unit.
type term struct {
	names *regexp.Regexp
	unit  string
	least float64 // where most is zero and exactly false
	most  float64
	exact bool // least is the only right value
	times bool // the unit is a ratio of throughputs, the bound one of times
}

func atLeast(names, unit string, bound float64) term {
	return term{names: regexp.MustCompile("^" + names + "$"), unit: unit, least: bound}
}

func atMost(names, unit string, bound float64) term {
	return term{names: regexp.MustCompile("^" + names + "$"), unit: unit, most: bound}
}

func exactly(names, unit string, bound float64) term {
	return term{names: regexp.MustCompile("^" + names + "$"), unit: unit, least: bound, exact: true}
}

// timesAtMost bounds how many times as long as the reference it takes.
func timesAtMost(names, unit string, bound float64) term {
	t := atMost(names, unit, bound)
	t.times = true
	return t
}

const anyC = `/c=(1|16|128)`

var goals = []goal{
	{"fresh call, 128 B, every client at c = 1, 16, 128", "at least 0.92 of the bare protocol", []term{
		atLeast(`Call/[^/]+/fresh/128B`+anyC, "x-bare", 0.92),
	}},
	{"the same against the raw floor", "at least 0.72 of two SETs", []term{
		atLeast(`Call/[^/]+/fresh/128B`+anyC, "x-floor", 0.72),
	}},
	{"replay, 128 B and 16 KiB, every client at c = 1, 16, 128", "at least 0.92 of the bare claim", []term{
		atLeast(`Call/[^/]+/replay/[^/]+`+anyC, "x-bare", 0.92),
	}},
	{"fresh call, 16 KiB", "at least 0.75 of two SETs", []term{
		atLeast(`Call/[^/]+/fresh/16KiB`+anyC, "x-floor", 0.75),
	}},
	{"replay from rueidis' cache, c = 1", "at least 15 times a GET, no command sent", []term{
		atLeast(`Call/rueidis/hot/128B/c=1`, "x-floor", 15),
		exactly(`Call/rueidis/hot/128B/c=1`, "cmds/op", 0),
	}},
	{"commands and round trips, 128 B", "fresh 2 in 2, replay 1 in 1", []term{
		exactly(`Call/[^/]+/fresh/128B/.*`, "cmds/op", 2), exactly(`Call/[^/]+/fresh/128B/.*`, "rtt/op", 2),
		exactly(`Call/[^/]+/replay/128B/.*`, "cmds/op", 1), exactly(`Call/[^/]+/replay/128B/.*`, "rtt/op", 1),
	}},
	{"allocations over the bare commands, 128 B, c = 1", "fresh at most 10 more, replay 6", []term{
		atMost(`Call/[^/]+/fresh/128B/c=1`, "allocs-over-bare", 10.5),
		atMost(`Call/[^/]+/(replay|hot)/128B/c=1`, "allocs-over-bare", 6.5),
	}},
	{"memory in Redis, completed record of 128 B", "at most 345 B", []term{
		atMost(`Record/plain`, "B/record", 345),
	}},
	{"the same with a fingerprint of 32 B and a span context", "at most 365 B", []term{
		atMost(`Record/full`, "B/record", 365),
	}},
	{"wake-up in another process against PUBLISH to receive", "p50 at most 1.6 times, p99 3 times", []term{
		atMost(`Wake/.*`, "p50-x-raw", 1.6), atMost(`Wake/.*`, "p99-x-raw", 3),
	}},
	{"1,000 callers in one other process", "at most 2 + 7 commands, 1 extra connection", []term{
		atMost(`Herd/[^/]+/1-process/.*`, "cmds/op", 9), atMost(`Herd/[^/]+/1-process/.*`, "conns", 1),
	}},
	{"1,000 callers in four other processes", "at most 2 + 4 x 7 commands, 1 extra connection each", []term{
		atMost(`Herd/[^/]+/4-process/.*`, "cmds/op", 30), atMost(`Herd/[^/]+/4-process/.*`, "conns", 4),
	}},
	{"1,000 callers in one other process: the last one", "at most 3 ms after the action", []term{
		atMost(`Herd/[^/]+/1-process/.*`, "last-ms", 3),
	}},
	{"5 and 100 callers of an action of 50 ms: the last one", "at most 2 ms after the action", []term{
		atMost(`Callers/.*`, "last-ms", 2),
	}},
	{"fresh call in memory, c = 1, against singleflight", "at most 10 times its time, 12 allocations", []term{
		timesAtMost(`Local/fresh/c=1`, "x-floor", 10), atMost(`Local/fresh/c=1`, "allocs/op", 12.5),
	}},
	{"replay in memory, c = 1, against singleflight", "at most 5 times its time, 6 allocations", []term{
		timesAtMost(`Local/replay/c=1`, "x-floor", 5), atMost(`Local/replay/c=1`, "allocs/op", 6.5),
	}},
	{"joining a running call, against singleflight", "at most 4 times its time", []term{
		timesAtMost(`Local/joined/memory`, "x-floor", 4),
	}},
}

// check tells what was measured, the worst of each term, and whether the goal is
// met; known is false where nothing was measured.
func (g goal) check(r *results) (measured string, met, known bool) {
	met = true
	var texts []string
	for _, t := range g.terms {
		worst, where, found := t.worst(r)
		if !found {
			return "", false, false
		}
		met = met && t.holds(worst)
		texts = append(texts, fmt.Sprintf("%s %s (%s)", number(worst), t.label(), where))
	}
	return strings.Join(texts, "; "), met, true
}

func (t term) label() string {
	if t.times {
		return "times"
	}
	return t.unit
}

func (t term) holds(value float64) bool {
	switch {
	case t.exact:
		return value == t.least
	case t.most > 0:
		return value <= t.most
	}
	return value >= t.least
}

// worst is the value that is furthest on the wrong side.
func (t term) worst(r *results) (value float64, where string, found bool) {
	for _, name := range r.names {
		if !t.names.MatchString(name) {
			continue
		}
		v, ok := r.get(name, t.unit)
		if !ok {
			continue
		}
		if t.times {
			v = 1 / v
		}
		if !found || t.most > 0 && v > value || t.most == 0 && !t.exact && v < value || t.exact && v != t.least {
			value, where, found = v, short(name), true
		}
	}
	return value, where, found
}

// short is a name without its first element, which the goal has said.
func short(name string) string {
	_, rest, found := strings.Cut(name, "/")
	if !found {
		return name
	}
	return rest
}
