package sqlitestore

import (
	"testing"
	"time"

	"github.com/reprise-go/reprise/conformance/linearizability"
)

// Histories of several stores on one file, under faults, have an order in which
// the contract allows every answer. A lease is counted from when its transaction
// read the clock, and the transaction takes effect when its fsync is done: how long
// that takes on a busy disk is the tolerance.
func TestHistoriesAreLinearizable(t *testing.T) {
	harness := newHarness()
	harness.Lease = 500 * time.Millisecond
	linearizability.Check(t, harness, linearizability.Options{Keys: 30, Tolerance: 400 * time.Millisecond})
}
