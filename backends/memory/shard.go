package memory

import (
	"hash/maphash"
	"maps"
	"sync"
)

// shard is the records of one share of the keys, and the lock that makes each
// verb atomic on its key.
type shard struct {
	mu     sync.Mutex
	closed bool
	// records is by the hashes of the keys, nil while there are none: half the
	// work of a map by keys, which reads every key anew whenever it grows. Keys
	// with the same hash are chained.
	records map[uint64]*record
	peak    int // the most entries that the map has had
	expiry      // the same records, by when they are to be forgotten
	hasher
}

// hasher is the hash of the keys, by a seed that nobody outside can know.
type hasher struct {
	seed maphash.Seed
	mask uint64 // all ones, but for tests of what happens to equal hashes
}

func (h hasher) hash(key string) uint64 { return maphash.String(h.seed, key) & h.mask }

// hashOf is the hash of the record's key: of equal bytes, String and Bytes make
// equal hashes.
func (h hasher) hashOf(r *record) uint64 {
	return maphash.Bytes(h.seed, r.text()[:r.fingerprintAt]) & h.mask
}

// find returns the record of a key, or nil if it is unknown.
func (s *shard) find(hash uint64, key string, now int64) *record {
	r := s.records[hash]
	for r != nil && !r.isFor(key) {
		r = r.twin
	}
	if r != nil && now >= r.forgetAt {
		s.remove(hash, r)
		return nil
	}
	return r
}

func (s *shard) insert(hash uint64, r *record, forgetAt, now int64) {
	if s.records == nil {
		s.records = make(map[uint64]*record)
	}
	if twin := s.records[hash]; twin != nil {
		r.twin = twin
	}
	s.records[hash] = r
	s.peak = max(s.peak, len(s.records))
	s.file(r, forgetAt, now)
}

// remove makes the record's key unknown.
func (s *shard) remove(hash uint64, r *record) {
	s.unlink(hash, r)
	r.wake(view{})
}

// unlink takes the record out of the store.
func (s *shard) unlink(hash uint64, r *record) {
	s.unfile(r)
	first := s.records[hash]
	switch {
	case first != r:
		for first.twin != r {
			first = first.twin
		}
		first.twin = r.twin
	case r.twin != nil:
		s.records[hash] = r.twin
	default:
		delete(s.records, hash)
	}
	r.twin = nil
}

// shrinkFrom is the size below which a map isn't worth replacing.
const shrinkFrom = 256

// shrink gives memory back. Maps never do: one that has lost most of its entries
// is replaced, at a cost that the removals before have paid for.
func (s *shard) shrink() {
	switch n := len(s.records); {
	case n == 0:
		s.clear()
	case s.peak >= shrinkFrom && n < s.peak/4:
		records := make(map[uint64]*record, n)
		maps.Copy(records, s.records)
		s.records, s.peak = records, n
	}
}

func (s *shard) clear() { s.records, s.peak, s.expiry = nil, 0, expiry{} }

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, r := range s.records {
		for ; r != nil; r = r.twin {
			r.wakeToLook()
		}
	}
	s.clear()
}
