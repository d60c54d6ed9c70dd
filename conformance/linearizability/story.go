package linearizability

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// story is what happens to one key: some actors, each a goroutine with a backend,
// who know of each other's tokens and of when leases end, and so get in each
// other's way.
type story struct {
	run *run
	key string
	n   uint64

	mu       sync.Mutex
	calls    int // still to be made
	unknown  int // calls of unknown outcome
	attempts []*attempt
	seen     uint64        // the newest fence in any reply
	leaseEnd time.Duration // of the newest lease, on the store's clock
	clocked  bool          // fences are asked for by the clock
}

// attempt is one token and what its owner knows.
type attempt struct {
	claim   backend.ClaimRequest
	commit  backend.CommitRequest // its Complete
	told    bool                  // that it holds the key
	number  uint32
	fence   uint64
	heldTil time.Duration // the lease's end by its owner's clock; zero: none is held for sure
}

func newStory(r *run, key string, n uint64) *story {
	random := rand.New(rand.NewPCG(r.options.Seed, n<<8))
	return &story{run: r, key: key, n: n, calls: r.options.Operations, clocked: random.IntN(2) == 0}
}

// play returns when all actors have done their part, and nothing of theirs is
// under way.
func (s *story) play(ctx context.Context) {
	var actors sync.WaitGroup
	for i := range s.run.options.Actors {
		actors.Go(func() {
			a := newActor(s, i)
			defer a.injector.Close()
			for s.next() && ctx.Err() == nil {
				a.pause(ctx)
				a.act(ctx)
			}
		})
	}
	actors.Wait()
}

// next takes one of the calls that are to be made.
func (s *story) next() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls <= 0 || s.unknown > s.run.options.Unknown {
		return false
	}
	s.calls--
	return true
}

// quiet tells whether the key has had its share of unknown outcomes.
func (s *story) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unknown >= s.run.options.Unknown
}

// saw takes note of a record that a verb returned.
func (s *story) saw(r backend.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Fence > 0 {
		s.seen = r.Fence
	}
	if r.State == backend.Claimed && r.LeaseLeft > 0 {
		s.leaseEnd = s.run.clock.before() + r.LeaseLeft
	}
	if r.State == backend.Completed && r.Remaining > 20*s.run.lease {
		s.calls = min(s.calls, 2*s.run.options.Actors) // only replays are left
	}
}

// answered takes note of what the attempt's claim brought, sent at that time.
func (s *story) answered(a *attempt, request *backend.ClaimRequest, sent time.Duration, r backend.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := sent + request.Lease
	switch {
	case err != nil && a.heldTil > 0:
		a.heldTil = min(a.heldTil, end)
	case err != nil:
	case r.State == backend.Claimed && r.Token == request.Token:
		a.told, a.number, a.fence, a.heldTil = true, r.Attempt, r.Fence, end
		s.leaseEnd = end
	default:
		a.heldTil = 0
	}
}

// pick returns an attempt, one of the newest more often than not; nil if there is
// none.
func (s *story) pick(random *rand.Rand) *attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.attempts) == 0 {
		return nil
	}
	if random.IntN(3) > 0 {
		return s.attempts[len(s.attempts)-1-random.IntN(min(2, len(s.attempts)))]
	}
	return s.attempts[random.IntN(len(s.attempts))]
}

// actor is one goroutine of a story. What it chooses is its seed's choice.
type actor struct {
	story    *story
	random   *rand.Rand
	injector *faults.Injector
	store    backend.Backend
	forgets  backend.Forgetter // nil if the store is none
	last     backend.Record    // the last one that this actor saw
}

func newActor(s *story, i int) *actor {
	a := &actor{story: s, random: rand.New(rand.NewPCG(s.run.options.Seed, s.n<<8|uint64(i+1)))}
	// The injector asks in the goroutine of the call, which is the actor's.
	a.injector = faults.NewInjector(func(c faults.Call) faults.Fault {
		fault := s.run.options.Faults(a.random, c)
		if c.Verb != faults.Wait && s.quiet() {
			return faults.None
		}
		return fault
	})
	process := (i + int(s.n)) % len(s.run.processes)
	a.store = s.run.recorder.wrap(a.injector.Wrap(s.run.processes[process]), process)
	a.forgets, _ = a.store.(backend.Forgetter)
	return a
}

// between draws a duration.
func (a *actor) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(a.random.Int64N(int64(max(hi-lo, 1))))
}

// pause lets some of the store's time go by: none, a little, as much as brings
// the actor to the end of the lease together with others, or more than that.
func (a *actor) pause(ctx context.Context) {
	s, lease := a.story, a.story.run.lease
	n, short := a.random.IntN(100), a.between(0, lease/8)
	around, long := a.between(-lease/16, lease/16), a.between(lease, 3*lease)
	if a.random.IntN(2) == 0 {
		around = 0
	}
	switch {
	case n < 55:
	case n < 72:
		s.run.clock.sleep(ctx, short)
	case n < 92:
		s.mu.Lock()
		end := s.leaseEnd
		s.mu.Unlock()
		s.run.clock.sleep(ctx, min(end+around-s.run.clock.before(), 4*lease))
	default:
		s.run.clock.sleep(ctx, long)
	}
}
