package memory

import "sync"

// shard is the records of one share of the keys, and the lock that makes each
// verb atomic on its key.
type shard struct {
	mu      sync.Mutex
	closed  bool
	records map[string]*record // nil while there are none
	peak    int                // the most records that the map has held
	expiry                     // the same records, by when they are to be forgotten
	_       [24]byte           // shards don't share cache lines
}

// find returns the record of a key, or nil if it is unknown.
func (s *shard) find(key string, now int64) *record {
	r := s.records[key]
	if r != nil && now >= r.forgetAt {
		s.remove(r)
		return nil
	}
	return r
}

func (s *shard) insert(r *record, forgetAt, now int64) {
	if s.records == nil {
		s.records = make(map[string]*record)
	}
	s.records[r.key()] = r
	s.peak = max(s.peak, len(s.records))
	s.file(r, forgetAt, now)
}

// remove makes the record's key unknown.
func (s *shard) remove(r *record) {
	s.unlink(r)
	r.wake(view{})
}

// unlink takes the record out of the store. The key's string goes with it: a map
// keeps the string that a key was first stored by.
func (s *shard) unlink(r *record) {
	delete(s.records, r.key())
	s.unfile(r)
}

// shrinkFrom is the size below which a map isn't worth replacing.
const shrinkFrom = 256

// shrink gives memory back. Maps never do: one that has lost most of its records
// is replaced, at a cost that the removals before have paid for.
func (s *shard) shrink() {
	switch n := len(s.records); {
	case n == 0:
		s.records, s.peak, s.expiry = nil, 0, expiry{}
	case s.peak >= shrinkFrom && n < s.peak/4:
		records := make(map[string]*record, n)
		for key, r := range s.records {
			records[key] = r
		}
		s.records, s.peak = records, n
	}
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, r := range s.records {
		r.wakeToLook()
	}
	s.records, s.peak, s.expiry = nil, 0, expiry{}
}
