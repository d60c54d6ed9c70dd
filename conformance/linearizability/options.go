package linearizability

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/reprise-go/reprise/conformance/faults"
)

// Options says what [Check] does. The zero value is right for most; a negative
// field or one out of its bounds fails the test and names the field.
type Options struct {
	// Seed makes the choices of the run: what is called, when, with what, and
	// which faults. The same seed makes them again as far as the scheduling of
	// goroutines, a network and a store leave it to the seed. Zero: that of the
	// variable REPRISE_LINEARIZABILITY_SEED, or a random one. It is printed.
	Seed uint64

	// Keys is how many keys are worked on, each with a history of its own; zero:
	// 50. It is ignored where Duration is set.
	Keys int
	// Duration is how long keys are begun; real time, or that of the bubble.
	// Zero: until there were Keys of them.
	Duration time.Duration
	// Parallel is how many keys are worked on at a time; zero: 8.
	Parallel int
	// Actors is how many goroutines work on a key, at most 64; zero: 5.
	Actors int
	// Operations is how many calls are made on a key, at most 1,000; zero: 40.
	// Checking takes time exponential in how many of them overlap.
	Operations int
	// Processes is how many backends are connected to the store, of which the
	// actors of a key use all in turn; zero: 3.
	Processes int

	// Faults chooses what becomes of a call before it reaches the backend; nil:
	// a mix of all faults that package faults has, in about one call of eight.
	// Of random it takes what makes the run one of the seed. [NoFaults] injects
	// none, for stores behind a proxy that makes enough of them.
	Faults func(random *rand.Rand, call faults.Call) faults.Fault
	// Unknown is how many calls on a key may have an unknown outcome; after that
	// no faults are injected on that key, and no more is called where the store
	// makes faults of its own. Zero: 4, at most 16. Each multiplies the orders
	// that are possible.
	Unknown int
	// During, if it isn't nil, is called while histories are made, in a goroutine
	// of its own: to restart servers or to cut connections. Its ctx ends when no
	// more calls are made; Check waits for it.
	During func(ctx context.Context)

	// Tolerance is how far the clock of the store and that of the test may lie
	// apart, by rounding, drift and caching, from one call to another; zero: 5 ms.
	// At most a minute.
	Tolerance time.Duration
	// Resends is for clients, or backends, that send a request again by themselves
	// when its reply was lost: so many calls of a history may have been applied
	// once more before they returned, with the calls of others in between. At most
	// 3; zero: a call is applied once, or not at all. What no number can tell of
	// is a first send that arrives after its call was answered by a later one: a
	// network that delivers late is for clients whose resending is switched off.
	Resends int
	// Timeout is how long the history of a key may take to check; zero: 30 s. It
	// is real time; in a bubble, whose clock stands still meanwhile, a fixed
	// number of steps bounds the work too. A history that takes longer fails the
	// test: nobody knows whether it is right.
	Timeout time.Duration
	// Dir is where the picture and the text of an illegal history go. Empty: the
	// directory of the variable REPRISE_LINEARIZABILITY_DIR, or that of
	// testing.TB.ArtifactDir, which is kept by go test -artifacts.
	Dir string
}

// NoFaults is for [Options.Faults].
func NoFaults(*rand.Rand, faults.Call) faults.Fault { return faults.None }

const seedVariable = "REPRISE_LINEARIZABILITY_SEED"

func (o Options) check() error {
	for _, f := range []struct {
		name  string
		value int
		most  int
	}{
		{"Keys", o.Keys, 1 << 30}, {"Parallel", o.Parallel, 1 << 12}, {"Actors", o.Actors, 64},
		{"Operations", o.Operations, 1000}, {"Processes", o.Processes, 1 << 12}, {"Unknown", o.Unknown, 16},
		{"Resends", o.Resends, 3},
	} {
		if f.value < 0 || f.value > f.most {
			return fmt.Errorf("linearizability: Options.%s is %d, want 0 to %d", f.name, f.value, f.most)
		}
	}
	for _, f := range []struct {
		name        string
		value, most time.Duration
	}{{"Duration", o.Duration, 1000 * time.Hour}, {"Tolerance", o.Tolerance, time.Minute}, {"Timeout", o.Timeout, 24 * time.Hour}} {
		if f.value < 0 || f.value > f.most {
			return fmt.Errorf("linearizability: Options.%s is %v, want 0 to %v", f.name, f.value, f.most)
		}
	}
	return nil
}

func (o Options) withDefaults() Options {
	or(&o.Keys, 50)
	or(&o.Parallel, 8)
	or(&o.Actors, 5)
	or(&o.Operations, 40)
	or(&o.Processes, 3)
	or(&o.Unknown, 4)
	or(&o.Tolerance, 5*time.Millisecond)
	or(&o.Timeout, 30*time.Second)
	if o.Faults == nil {
		o.Faults = mixed
	}
	return o
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// mixed is the default mix of faults.
func mixed(random *rand.Rand, call faults.Call) faults.Fault {
	switch n := random.IntN(100); {
	case call.Verb == faults.Wait && n < 20:
		return faults.DropWakeups
	case call.Verb == faults.Wait:
		return faults.None
	case n < 4:
		return faults.LoseReply
	case n < 6:
		return faults.NotApplied
	case n < 8:
		return faults.LateCall(0) // until its actor delivers it
	case n < 13:
		return faults.Delay(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
	default:
		return faults.None
	}
}
