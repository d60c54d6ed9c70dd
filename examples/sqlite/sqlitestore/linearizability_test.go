package sqlitestore

import (
	"testing"
	"time"

	"github.com/reprise-go/reprise/conformance/linearizability"
)

// Histories of several stores on one file, under faults, have an order in which
// the contract allows every answer. A lease is counted from when its transaction
// read the clock, and the transaction is seen when its fsync is done, so that the
// checker would have to tolerate the slowest fsync of a busy disk. No process dies
// here: the fsyncs are left out.
func TestHistoriesAreLinearizable(t *testing.T) {
	g := newGate()
	g.noSync = true
	harness := newHarness(g)
	harness.Lease = 500 * time.Millisecond
	linearizability.Check(t, harness, linearizability.Options{Keys: 30, Tolerance: 400 * time.Millisecond})
}
