package idempotency

// InFlight counts what an executor owns: flights, holds, watched commits, and 1
// for each armed timer.
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
	if !x.leases.wakeAt.IsZero() {
		n++
	}
	x.endings.mu.Lock()
	defer x.endings.mu.Unlock()
	for e := x.endings.first; e != nil; e = e.next {
		n++
	}
	if !x.endings.wake.IsZero() {
		n++
	}
	return n
}
