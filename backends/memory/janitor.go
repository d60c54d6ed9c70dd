package memory

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// janitor is the one timer of a store. It is armed for the first bucket that
// ends, and not at all while there are no records.
type janitor struct {
	// next is when the timer fires, never while it isn't armed. A verb that
	// files a record for earlier arms the timer anew.
	next   atomic.Int64
	mu     sync.Mutex
	timer  *time.Timer // made when it is first needed
	sweeps uint64      // how many have begun
	closed bool
}

// sweepBy makes sure that a sweep begins at due or before. It is called after the
// shard's lock was released: a sweep that begins in between has set next to
// never before it looks at the shard, so either it sees the record or we see
// that.
func (b *Backend) sweepBy(due int64) {
	j := &b.janitor
	if due < j.next.Load() {
		j.mu.Lock()
		defer j.mu.Unlock()
		b.arm(due)
	}
}

// arm makes the timer fire at due, unless it fires earlier. The caller holds the
// janitor's lock.
func (b *Backend) arm(due int64) {
	j := &b.janitor
	if due >= j.next.Load() || j.closed {
		return
	}
	j.next.Store(due)
	wait := time.Duration(due - b.now())
	if j.timer == nil {
		j.timer = time.AfterFunc(wait, sweepLater(weak.Make(b)))
	} else {
		j.timer.Reset(wait)
	}
}

// sweepLater holds the store weakly: a pending timer, which may be set to fire
// in a day, must not keep a store alive that nobody uses any more.
func sweepLater(store weak.Pointer[Backend]) func() {
	return func() {
		if b := store.Value(); b != nil {
			b.sweep()
		}
	}
}

// sweep gives back the memory of what is over, and arms the timer for the rest.
// Of several at once, only the one that began last has seen all that stays.
func (b *Backend) sweep() {
	j := &b.janitor
	j.mu.Lock()
	j.sweeps++
	mine := j.sweeps
	j.next.Store(never)
	j.mu.Unlock()

	earliest := int64(never)
	for i := range b.shards {
		earliest = min(earliest, b.sweepShard(&b.shards[i]))
	}

	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case mine != j.sweeps:
	case earliest != never:
		b.arm(earliest)
	case j.next.Load() == never && j.timer != nil:
		j.timer.Stop()
	}
}

// sweepBatch bounds how long a sweep keeps a shard from its verbs.
const sweepBatch = 512

// sweepShard returns when the shard is to be swept again.
func (b *Backend) sweepShard(s *shard) int64 {
	for {
		s.mu.Lock()
		done := s.sweep(b.now(), sweepBatch)
		earliest := s.earliest()
		s.mu.Unlock()
		if done {
			return earliest
		}
	}
}

// sweep forgets up to limit records whose time is over, and tells whether none
// is left.
func (s *shard) sweep(now int64, limit int) (done bool) {
	for s.earliest() <= now {
		b := s.buckets[0]
		for r := b.first; r != nil; r = b.first {
			if limit == 0 {
				return false
			}
			limit--
			if r.forgetAt <= now {
				s.remove(s.hashOf(r), r)
			} else {
				s.unfile(r)
				s.file(r, r.forgetAt, now)
			}
		}
		s.drop()
	}
	s.shrink()
	return true
}

func (j *janitor) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
}
