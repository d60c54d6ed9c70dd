package idempotency

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// A flight is what the concurrent calls of one key in one process share: one
// claim, and one answer. One of them leads: it alone talks to the store and runs
// the action. The claim belongs to the flight, not to the leader: a leader that
// leaves early passes the baton to another call, which goes on with the same
// token. The last call to leave closes the flight, before anything is released,
// so that nobody can inherit a token whose release is on its way.
type flight struct {
	shard *flightShard
	key   string // storage key

	// Guarded by shard.mu.
	callers   int
	closed    bool
	holder    holder // who holds the key, once announced
	announced bool
	// Made when the first follower joins.
	baton chan struct{} // holds one token while nobody leads
	known chan struct{} // closed and replaced by announce
	done  chan struct{} // closed when the flight has concluded
	end   conclusion    // set before done is closed

	// The leader's own; they pass on with the baton.
	claim  claim
	seen   *backend.Record // what the last reply said, nil before the first
	reply  backend.Record  // room for seen
	tenure *tenure         // set once the action may run
	sends  int             // how often a claim was sent
	buffer []byte          // room for the encoded outcome
	// handedOver: the ending goes on in the background, which concludes the flight.
	handedOver bool
}

// tenure is what a flight needs while it holds its key.
type tenure struct {
	hold     hold
	action   *actionContext
	ending   ending
	recorded backend.Record // what the commit recorded, once it is confirmed
}

// holder is who holds the key of a flight, in this process or in another.
type holder struct {
	identity
	attempt uint32
	fence   uint64
	until   time.Time // when the lease ends, as far as is known
}

// identity is what a record says of the request that holds the key.
type identity struct {
	operation   string
	fingerprint []byte
	carrier     []byte
}

// conclusion is what a flight leaves for its followers: exactly one of the
// fields is set.
type conclusion struct {
	record      *backend.Record // the recorded outcome
	unprotected *backend.Record // an outcome that was not recorded: FailOpen
	err         error           // the store failed
	undecided   error           // Reconcile found nothing out
	again       bool            // start over: the action's outcome wasn't recorded
	seen        uint64          // with again: the fence of the vacant record that is left, if known
}

const flightShards = 64

type flights struct {
	seed   maphash.Seed
	shards [flightShards]flightShard
}

type flightShard struct {
	mu sync.Mutex
	m  map[string]*flight
	_  [48]byte // keeps neighbours off one cache line
}

func (fs *flights) init() {
	fs.seed = maphash.MakeSeed()
	for i := range fs.shards {
		fs.shards[i].m = map[string]*flight{}
	}
}

// Flights and tenures that nobody refers to any more: see recycle.
var (
	flightPool = sync.Pool{New: func() any { return new(flight) }}
	tenurePool = sync.Pool{New: func() any { return new(tenure) }}
)

// maxPooledBuffer is how large a buffer may be that a flight in the pool keeps.
const maxPooledBuffer = 64 << 10

// recycle gives back a flight that its leader has concluded without anything left
// in the background and doesn't use any more; it tells whether it could. One that
// had followers, or whose lease was renewed or lost, may still be referred to.
// The contexts that were handed out (to the action, to the store) are never used
// again: whoever got one may have kept it.
func (f *flight) recycle() bool {
	if f.done != nil || f.tenure != nil && f.tenure.hold.shared {
		return false
	}
	if f.tenure != nil {
		*f.tenure = tenure{}
		tenurePool.Put(f.tenure)
	}
	buffer := f.buffer[:0]
	if cap(buffer) > maxPooledBuffer {
		buffer = nil
	}
	*f = flight{buffer: buffer}
	flightPool.Put(f)
	return true
}

// enter joins the key's flight, or opens one, which the caller then leads.
func (fs *flights) enter(key string) (f *flight, lead bool) {
	shard := &fs.shards[maphash.String(fs.seed, key)%flightShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if f := shard.m[key]; f != nil {
		f.callers++
		if f.done == nil {
			f.baton = make(chan struct{}, 1)
			f.known = make(chan struct{})
			f.done = make(chan struct{})
		}
		return f, false
	}
	f = flightPool.Get().(*flight)
	f.shard, f.key, f.callers = shard, key, 1
	shard.m[key] = f
	return f, true
}

// leave takes one call out of the flight and tells whether it was the last one;
// then the flight is closed. A leader that leaves others behind passes the
// baton.
func (f *flight) leave(leads bool) (last bool) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.closed {
		return false
	}
	f.callers--
	if f.callers == 0 {
		f.close()
		return true
	}
	if leads {
		f.baton <- struct{}{}
	}
	return false
}

// stay keeps the flight open for work that goes on without its callers.
func (f *flight) stay() {
	f.shard.mu.Lock()
	f.callers++
	f.shard.mu.Unlock()
}

// conclude closes the flight and gives its followers what they waited for. Only
// who leads calls it; it tells whether the flight was still open.
func (f *flight) conclude(end conclusion) bool {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if f.closed {
		return false
	}
	f.close()
	f.end = end
	if f.done != nil {
		close(f.done)
	}
	return true
}

// close must be called under shard.mu.
func (f *flight) close() {
	if !f.closed {
		f.closed = true
		delete(f.shard.m, f.key)
	}
}

// announce tells the followers who holds the key now, so that those with another
// fingerprint or operation, and those that don't wait, get their answer at once.
func (f *flight) announce(h holder) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.holder, f.announced = h, true
	if f.known != nil {
		close(f.known)
		f.known = make(chan struct{})
	}
}

// retract takes an announcement back: that holder doesn't hold the key any more.
func (f *flight) retract() {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.announced = false
}

// renewed moves the end of the holder's lease.
func (f *flight) renewed(until time.Time) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	f.holder.until = until
}

// heldBy returns who holds the key, if that is known, and what is closed by the
// next announcement (nil while the flight has no followers).
func (f *flight) heldBy() (h holder, announced bool, next <-chan struct{}) {
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	return f.holder, f.announced, f.known
}
