package idempotency

import "time"

// Linger is how long a timer of an executor may stay armed for actions and commits
// that have ended.
const Linger = glance + time.Millisecond

// InFlight counts what an executor owns: flights, holds, watched commits, and 1
// for a timer that is armed for longer than a glance.
func (x *Executor) InFlight() int {
	n := 0
	for i := range x.flights.shards {
		shard := &x.flights.shards[i]
		shard.mu.Lock()
		n += len(shard.m)
		shard.mu.Unlock()
	}
	x.leases.mu.Lock()
	defer x.leases.mu.Unlock()
	for h := x.leases.first; h != nil; h = h.next {
		n++
	}
	if !x.leases.wakeAt.IsZero() && !x.leases.glance {
		n++
	}
	x.endings.mu.Lock()
	defer x.endings.mu.Unlock()
	for e := x.endings.first; e != nil; e = e.next {
		n++
	}
	return n
}

// Armed counts the timers that are armed.
func (x *Executor) Armed() (n int) {
	x.leases.mu.Lock()
	defer x.leases.mu.Unlock()
	if !x.leases.wakeAt.IsZero() {
		n++
	}
	x.endings.mu.Lock()
	defer x.endings.mu.Unlock()
	if !x.endings.wake.IsZero() {
		n++
	}
	return n
}
