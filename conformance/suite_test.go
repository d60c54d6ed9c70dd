package conformance

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// leavesNothing fails the test if goroutines that it started are left at its end.
// Those of mutants that hang are left on purpose.
func leavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

func TestReference(t *testing.T) {
	leavesNothing(t)
	Run(t, harness("", false))
}

func TestReferenceInRealTime(t *testing.T) {
	leavesNothing(t)
	Run(t, harness("", true))
}

// TestReferenceInBubbles runs each rule in a bubble of its own, with the store on
// the bubble's clock and with one that the test moves.
func TestReferenceInBubbles(t *testing.T) {
	for _, real := range []bool{true, false} {
		for _, rule := range Rules() {
			t.Run(rule.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rule.Run(t, harness("", real)) })
			})
		}
	}
}

// TestReferenceWithTheBubblesClock moves the store's clock by sleeping.
func TestReferenceWithTheBubblesClock(t *testing.T) {
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := harness("", true)
				h.Advance = time.Sleep
				rule.Run(t, h)
			})
		})
	}
}

// through is the harness with every backend behind an injector.
func through(h Harness, pick func(faults.Call) faults.Fault) Harness {
	open := h.Open
	h.Open = func(tb testing.TB) func() backend.Backend {
		injector := faults.NewInjector(pick)
		tb.Cleanup(func() { injector.Close() })
		connect := open(tb)
		return func() backend.Backend { return injector.Wrap(connect()) }
	}
	return h
}

func TestReferenceBehindAnInjector(t *testing.T) {
	leavesNothing(t)
	Run(t, through(harness("", false), nil))
}

// TestLostWakeupsFailWhatNeedsThem shows that a backend whose wake-ups are all
// lost fails the rules on them, and no other: all else holds by looking again.
func TestLostWakeupsFailWhatNeedsThem(t *testing.T) {
	needs := map[string]bool{
		"Wait/WakesOnComplete": true, "Wait/WakesOnRelease": true, "Wait/WakesOnAbandon": true, "Wait/WakesOnEveryKey": true,
		"Wait/FollowsRenewals": true, "Wait/ManyWaitersAllWake": true, "Wait/CommitBetweenLookAndSleep": true,
		"Wait/WakesAgainAndAgain": true, "Wait/CancelIsPrompt": true, "Wait/DoesNotStarveOthers": true, "Forget/WakesWaiters": true,
		"Slices/RecordsBelongToTheCaller": true, "Disconnect/WaitersLookAgain": true,
	}
	for _, rule := range Rules() {
		// In a bubble, what isn't woken has run out of patience at once.
		synctest.Test(t, func(t *testing.T) {
			h := through(harness("", true), func(faults.Call) faults.Fault { return faults.DropWakeups })
			if r := observe(t, rule, h); r.Failed() != needs[rule.Name] {
				t.Errorf("%s failed: %v, want %v\n%s", rule.Name, r.Failed(), needs[rule.Name], r.messages)
			}
		})
	}
}
