package conformance

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestReference(t *testing.T) {
	Run(t, harness("", false))
}

func TestReferenceInRealTime(t *testing.T) {
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
