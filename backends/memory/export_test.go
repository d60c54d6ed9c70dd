package memory

import "hash/maphash"

// NewColliding makes a store in which all keys have the same hash.
func NewColliding() *Backend { return newBackend(hasher{seed: maphash.MakeSeed()}) }

// Held counts what a store owns: records as the maps and as the buckets have
// them, buckets, watches, and whether its timer is armed.
func (b *Backend) Held() (held Held) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for _, r := range s.records {
			for ; r != nil; r = r.twin {
				held.Records++
				if r.watch != nil {
					held.Watches++
				}
			}
		}
		for _, bucket := range s.buckets {
			held.Buckets++
			for r := bucket.first; r != nil; r = r.next {
				held.Filed++
			}
		}
		s.mu.Unlock()
	}
	held.Armed = b.janitor.next.Load() != never
	return held
}

type Held struct {
	Records, Filed, Buckets, Watches int
	Armed                            bool
}

// StopTimer tells whether a timer was pending, and stops it.
func (b *Backend) StopTimer() bool {
	j := &b.janitor
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.timer != nil && j.timer.Stop()
}
