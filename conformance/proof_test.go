package conformance_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/conformance"
)

// TestProofOnMemory passes the memory backend 200 times under a virtual clock,
// once on leases that end by themselves and once on a clock that the suite
// moves: -args -proof.
func TestProofOnMemory(t *testing.T) {
	if !conformance.Proof() {
		t.Skip("skipped: run with -args -proof")
	}
	for round := range 200 {
		for name, advance := range map[string]func(time.Duration){"waiting": nil, "moving": time.Sleep} {
			h := harness
			h.Advance = advance
			for _, rule := range conformance.Rules() {
				t.Run(fmt.Sprint(round, "/", name, "/", rule.Name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { rule.Run(t, h) })
				})
			}
		}
	}
}
