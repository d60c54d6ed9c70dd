package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Harness is what the suite needs to know of a backend. Only Open is required;
// fields may be added, and their zero value will always mean what the suite did
// before they were there.
type Harness struct {
	// Open makes one fresh, empty store; each call of what it returns is one
	// more process on that store: a backend of its own wherever the store can be
	// shared between processes, the same one again where it lives in one process.
	// Open, and every call of connect, register with tb.Cleanup what has to be
	// closed; the suite closes nothing but in the rules on Close. Connect is
	// called by the goroutine of the test.
	Open func(tb testing.TB) (connect func() backend.Backend)

	// Advance is how the test moves the store's clock, for stores that don't
	// follow real time; nil: the suite waits in real time. Real time must not
	// move a store's clock that Advance moves. With it the rules run one after
	// the other, without it in parallel.
	Advance func(time.Duration)

	// Lease is the shortest lease that the store keeps, and the shortest Keep and
	// Retention; zero: 100 ms. Below [backend.MinDuration] or above a minute it
	// fails the test. The suite waits for some leases to end: the shorter it is
	// the sooner the suite is done.
	Lease time.Duration

	// Corrupt makes what the store holds under key unreadable (a foreign type, a
	// broken or newer frame), behind the back of the backends. It is given the
	// key that the verbs are given. Nil: the rules of Corrupt are skipped.
	Corrupt func(tb testing.TB, key string)

	// Disconnect cuts every connection that backends of this harness have to
	// their stores, those that carry wake-ups too; new ones may be made at once.
	// Nil: the rules of Disconnect are skipped.
	Disconnect func(tb testing.TB)

	// Silence makes the stores of this harness accept what they are sent and
	// answer nothing until restore is called, as a stopped process or a network
	// that swallows packets does. Nil: the rules of Silence are skipped. While
	// it is set, the rules run one after the other.
	Silence func(tb testing.TB) (restore func())

	patience time.Duration // how long what must happen may take; zero: 5 s
}

// maxLease is the longest lease that rules wait for. They tell it from leases
// and lives of hours, and from waking by a push.
const maxLease = time.Minute

// check ends the test where the harness can't be worked with.
func (h Harness) check(tb testing.TB) {
	tb.Helper()
	if h.Open == nil {
		tb.Fatalf("conformance: Harness.Open is nil: it is how the suite gets a store")
	}
	if h.Lease != 0 && (h.Lease < backend.MinDuration || h.Lease > maxLease) {
		tb.Fatalf("conformance: Harness.Lease is %v, want between %v and %v, or zero for 100ms", h.Lease, backend.MinDuration, maxLease)
	}
}

// Run checks a backend against every rule of the contract, each in a subtest
// that has the rule's name: "Claim/Fresh" is run alone by
// -run 'TestYourBackend/Claim/Fresh$' and left out by -skip. Each group of rules
// has a store of its own.
//
// Run uses subtests, so that it can't be called in a bubble of testing/synctest;
// there, see [Rule.Run].
func Run(t *testing.T, h Harness) {
	h.check(t)
	parallel := h.Advance == nil
	for _, group := range groups() {
		t.Run(group.name, func(t *testing.T) {
			var shared func(testing.TB) *rig
			if group.shares() {
				connect := h.Open(t)
				a, b := connect(), connect()
				shared = func(tb testing.TB) *rig { return newRig(tb, h, connect, a, b) }
			}
			for _, rule := range group.rules {
				_, name, _ := strings.Cut(rule.Name, "/")
				t.Run(name, func(t *testing.T) {
					if parallel && !rule.alone {
						t.Parallel()
					}
					if rule.ownStore {
						rule.Run(t, h)
						return
					}
					rule.runOn(shared(t))
				})
			}
		})
	}
}
