package conformance

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// TestLeasesOfAnyLength runs every rule with the shortest and the longest leases
// that a harness may name, on a clock that the rules wait for and on one that
// they move.
func TestLeasesOfAnyLength(t *testing.T) {
	for _, lease := range []time.Duration{backend.MinDuration, time.Second, 10 * time.Second, maxLease} {
		for name, advance := range map[string]func(time.Duration){"waiting": nil, "moving": time.Sleep} {
			for _, rule := range Rules() {
				t.Run(lease.String()+"/"+name+"/"+rule.Name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						h := harness("", true)
						h.Lease, h.Advance = lease, advance
						rule.Run(t, h)
					})
				})
			}
		}
	}
}

func TestHarnessIsChecked(t *testing.T) {
	rule := Rules()[0]
	for _, lease := range []time.Duration{-1, time.Microsecond, maxLease + 1} {
		h := harness("", false)
		h.Lease = lease
		r := observe(t, rule, h)
		if said := strings.Join(r.messages, "\n"); !r.Failed() || !strings.Contains(said, "Harness.Lease") || !strings.Contains(said, "1m0s") {
			t.Errorf("a Lease of %v was answered by %q", lease, said)
		}
	}
	h := harness("", false)
	h.Open = nil
	r := observe(t, rule, h)
	if said := strings.Join(r.messages, "\n"); !r.Failed() || !strings.Contains(said, "Harness.Open") {
		t.Errorf("a harness without Open was answered by %q", said)
	}
}
