package rueidis

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
)

// sightings are the keys that this process has seen completed in a claim's
// reply, and for which it asks the client-side cache: a bounded set. Where it is
// full, a key that was not asked for lately makes room (the clock algorithm).
type sightings struct {
	seed   maphash.Seed
	shards []shard
	off    atomic.Bool
}

// sighting is one of these keys.
type sighting struct {
	key     string
	token   backend.Token        // who completed it
	command rueidislib.Cacheable // pinned: rueidis won't reuse it
	until   atomic.Int64         // when the record may be over; zero: not known
	asked   atomic.Bool          // since the hand of the clock came by
	at      int                  // in the ring
}

type shard struct {
	mu   sync.RWMutex
	size int
	keys map[string]*sighting
	ring []*sighting
	hand int
}

const maxShards = 16

func newSightings(size int) *sightings {
	s := &sightings{seed: maphash.MakeSeed(), shards: make([]shard, min(size, maxShards))}
	for i := range s.shards {
		s.shards[i].size = size / len(s.shards)
		s.shards[i].keys = make(map[string]*sighting)
	}
	return s
}

func (s *sightings) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%uint64(len(s.shards))]
}

// find returns the sighting of a key, or nil.
func (s *sightings) find(key string) *sighting {
	h := s.shard(key)
	h.mu.RLock()
	found := h.keys[key]
	h.mu.RUnlock()
	if found != nil && !found.asked.Load() {
		found.asked.Store(true)
	}
	return found
}

// add notes that a key was completed by the token. It returns the sighting,
// which may be there already.
func (s *sightings) add(key string, token backend.Token, command func() rueidislib.Cacheable) *sighting {
	h := s.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.keys[key]
	if old != nil && old.token == token {
		return old
	}
	added := &sighting{key: key, token: token}
	if old != nil {
		added.command, added.at = old.command, old.at
	} else {
		added.command, added.at = command(), h.room()
	}
	h.keys[key], h.ring[added.at] = added, added
	return added
}

// room finds a place in the ring. The lock is held.
func (h *shard) room() int {
	if len(h.ring) < h.size {
		h.ring = append(h.ring, nil)
		return len(h.ring) - 1
	}
	for {
		at := h.hand
		h.hand = (h.hand + 1) % len(h.ring)
		if !h.ring[at].asked.Swap(false) {
			delete(h.keys, h.ring[at].key)
			return at
		}
	}
}

// drop forgets a key.
func (s *sightings) drop(key string) {
	h := s.shard(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	dropped := h.keys[key]
	if dropped == nil {
		return
	}
	delete(h.keys, key)
	last := len(h.ring) - 1
	h.ring[dropped.at] = h.ring[last]
	h.ring[dropped.at].at = dropped.at
	h.ring[last] = nil
	h.ring = h.ring[:last]
	if h.hand >= last {
		h.hand = 0
	}
}

// len is how many keys there are.
func (s *sightings) len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.RLock()
		n += len(s.shards[i].keys)
		s.shards[i].mu.RUnlock()
	}
	return n
}

// lasts notes that the record was there, with that time to live, at some moment
// after asked (both by line.now). It is believed for a little less, because
// clocks run at different speeds.
func (s *sighting) lasts(asked, ttl time.Duration) {
	s.until.Store(int64(asked + ttl - ttl/1024))
}
