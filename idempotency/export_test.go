package idempotency

// InFlight counts what an executor owns: flights, holds, and 1 for an armed
// timer.
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
	return n
}
