//go:build unix

package soak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// checker holds what happened against the invariants. It may be asked at any time:
// every rule is broken by events that are there, and what would excuse it is
// written before it happens, so that no later event makes a violation good.
type checker struct {
	times   times
	keys    map[string]*keyLog
	dirty   map[string]*keyLog
	losing  []span          // when the store may have forgotten what it confirmed
	stopped map[int][]span  // by worker
	silent  map[int][]span  // by worker; 0: all
	alive   []int64         // when the servers answered the parent
	epochs  map[string]int  // how often a key was forgotten
	broken  []violation     // that belong to no key
	seen    map[string]bool // violations that were reported already

	counts counts
}

// span is a time from and to which something holds.
type span struct{ from, to int64 }

func (s span) overlaps(from, to int64) bool { return s.from <= to && from <= s.to }

// violation is an invariant that doesn't hold.
type violation struct {
	rule string
	key  string
	text string
}

func (v violation) String() string {
	if v.key == "" {
		return v.rule + ": " + v.text
	}
	return fmt.Sprintf("%s: key %s: %s", v.rule, v.key, v.text)
}

// epsilon is by how much a lease may end early: it is counted in milliseconds,
// and by a clock that is set.
const epsilon = int64(10 * time.Millisecond)

func newChecker(t times) *checker {
	return &checker{
		times: t, keys: map[string]*keyLog{}, dirty: map[string]*keyLog{}, stopped: map[int][]span{}, silent: map[int][]span{},
		epochs: map[string]int{}, seen: map[string]bool{}, counts: newCounts(),
	}
}

// add takes an event into account. The events of one file come in its order.
func (c *checker) add(e event) {
	c.counts.add(e)
	switch e.Kind {
	case evLosing:
		c.losing = append(c.losing, span{e.At, math.MaxInt64})
	case evKept:
		if n := len(c.losing); n > 0 {
			c.losing[n-1].to = e.At
		}
	case evStop:
		c.stopped[e.Worker] = append(c.stopped[e.Worker], span{e.At, math.MaxInt64})
	case evContinue:
		if n := len(c.stopped[e.Worker]); n > 0 {
			c.stopped[e.Worker][n-1].to = e.At
		}
	case evSilent:
		c.silent[e.Worker] = append(c.silent[e.Worker], span{e.At, e.Until})
	case evAlive:
		c.alive = append(c.alive, e.At)
	case evLeak:
		c.broken = append(c.broken, violation{rule: "nothing leaks", text: fmt.Sprintf("worker %d ended with goroutines left: %s", e.Worker, e.Err)})
	case evBroken:
		c.broken = append(c.broken, violation{rule: "broken", key: e.Key, text: e.Err})
	case evForget:
		c.epochs[e.Key]++
	}
	if e.Key == "" {
		return
	}
	name := fmt.Sprintf("%s#%d", e.Key, c.epochs[e.Key])
	if e.Kind == evForget {
		return
	}
	k := c.keys[name]
	if k == nil {
		k = &keyLog{key: e.Key, claims: map[string]*claim{}}
		c.keys[name] = k
	}
	if k.add(e) {
		c.dirty[name] = k
	}
}

// check returns the violations that were not returned before.
func (c *checker) check() []violation {
	found := c.broken
	c.broken = nil
	for _, name := range slices.Sorted(keysOf(c.dirty)) {
		k := c.dirty[name]
		for _, v := range c.checkKey(k) {
			if id := name + v.String(); !c.seen[id] {
				c.seen[id] = true
				found = append(found, v)
			}
		}
	}
	clear(c.dirty)
	return found
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// excused tells whether the store may have forgotten between two times what it
// had confirmed.
func (c *checker) excused(from, to int64) bool {
	if from > to {
		from, to = to, from
	}
	return slices.ContainsFunc(c.losing, func(s span) bool { return s.overlaps(from, to) })
}

// stoppedFor is how long a worker was stopped between two times.
func (c *checker) stoppedFor(worker int, from, to int64) time.Duration {
	var d int64
	for _, s := range c.stopped[worker] {
		d += max(0, min(s.to, to)-max(s.from, from))
	}
	return time.Duration(d)
}

// heard is for how much of the time between two times nothing kept a worker from
// hearing from the store: the servers answered the parent again and again, so that
// neither they nor the machine were held up, and the worker wasn't stopped and its
// connections not silenced.
func (c *checker) heard(worker int, from, to int64) time.Duration {
	deaf := slices.Concat(c.stopped[worker], c.silent[worker], c.silent[0])
	slices.SortFunc(deaf, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var d int64
	first, _ := slices.BinarySearch(c.alive, from)
	for i := max(first, 1); i < len(c.alive) && c.alive[i] <= to; i++ {
		if c.alive[i]-c.alive[i-1] <= int64(alivePeriod)*5 {
			d += outside(deaf, max(from, c.alive[i-1]), c.alive[i])
		}
	}
	return time.Duration(d)
}

// outside is how much of the time between two times lies in none of the spans,
// which are in the order of their beginnings.
func outside(spans []span, from, to int64) (d int64) {
	for _, s := range spans {
		if s.from >= to {
			break
		}
		d += max(0, s.from-from)
		from = max(from, s.to)
	}
	return d + max(0, to-from)
}
