package linearizability_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/linearizability"
)

// listener is a testing.TB that keeps failures to itself.
type listener struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (l *listener) Helper()             {}
func (l *listener) Log(...any)          {}
func (l *listener) Logf(string, ...any) {}

func (l *listener) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, fmt.Sprintf(format, args...))
}

func (l *listener) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.failures, "\n")
}

// bugs are those of the backend in flawed_test.go: most are seen only where
// several calls meet.
var bugs = []string{
	"a claim reads, then writes",
	"a takeover reads, then writes",
	"a commit reads, then writes",
	"commits compare no token",
	"releases compare no token",
	"a commit's retry is superseded",
	"the last outcome wins",
	"any repeated commit succeeds",
	"a lapsed lease voids the commit",
	"a commit drops the fingerprint",
	"a refused commit extends the lease",
	"a repeated send changes nothing",
	"a repeated send is a new attempt",
	"a repeated send brings its Keep",
	"a renewal is a claim",
	"a renewal revives an abandoned claim",
	"a late renewal shortens the retention",
	"a live lease is taken over",
	"Seen isn't compared",
	"attempts aren't counted",
	"the fence asked for is ignored",
	"the fence asked for is the fence",
	"a release deletes",
	"a release of an unknown key leaves nothing",
	"a released token is revived",
	"Abandon waits for the lease's end",
	"the retention is the lease",
	"the lease is set in a second step",
	"leases end by the client's clock",
	"leases count from the sending",
	"a lapsed record disappears",
	"LeaseHeld isn't believed",
	"LeaseHeld isn't asked for",
	"everything is forgotten now and then",
	"an error is an unknown key",
	"a lost reply is not applied",
	"Wait returns early",
	"Wait returns on any wake-up",
	"Wait returns what it saw first",
	"Wait answers from a cache",
	"Fetch reads from a replica",
	"Fetch renews",
}

// caught runs the check and returns what it said.
func caught(t *testing.T, h conformance.Harness, o linearizability.Options) (linearizability.Report, string) {
	t.Helper()
	l := &listener{TB: t}
	report := linearizability.Check(l, h, o)
	return report, l.said()
}

func TestCheckerCatches(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug, func(t *testing.T) {
			began := time.Now()
			var report linearizability.Report
			var said string
			synctest.Test(t, func(t *testing.T) {
				report, said = caught(t, withBug(bug), linearizability.Options{Seed: 1, Keys: 1000})
			})
			if said == "" {
				t.Fatalf("not caught: %v", report)
			}
			t.Logf("| %s | %d | %d | %v | %v |", bug, report.Keys, report.Operations, report.Elapsed.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			if testing.Verbose() {
				t.Log(said)
			}
		})
	}
}

func TestTheRightOnePasses(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			linearizability.Check(t, withBug(""), linearizability.Options{Seed: seed + 1, Keys: 20})
		})
	}
}
