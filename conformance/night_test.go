package conformance

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	allRules = flag.Bool("all-rules", false, "run the whole suite against every wrong backend and print the rules that catch it")
	proof    = flag.Bool("proof", false, "run the whole suite 200 times against every right backend")
)

// TestAllRulesPerMutant prints which rules catch each mutant. It is for the
// night: -args -all-rules.
func TestAllRulesPerMutant(t *testing.T) {
	if !*allRules {
		t.Skip("skipped: run with -args -all-rules")
	}
	catches := map[string]int{}
	for _, mutant := range mutants {
		h := harness(mutant.bug, false)
		h.patience = 200 * time.Millisecond
		var caught []string
		for _, rule := range Rules() {
			failed := make(chan bool, 1)
			go func() { failed <- observe(t, rule, h).Failed() }()
			select {
			case caughtIt := <-failed:
				if !caughtIt {
					continue
				}
				caught = append(caught, rule.Name)
				catches[rule.Name]++
			case <-time.After(20 * time.Second):
				t.Errorf("%s: %s hangs instead of failing", mutant.bug, rule.Name)
			}
		}
		if len(caught) == 0 {
			t.Errorf("%s: no rule caught it", mutant.bug)
		}
		t.Logf("%s: caught by %d rules: %s", mutant.bug, len(caught), strings.Join(caught, ", "))
	}
	for _, rule := range Rules() {
		t.Logf("%s catches %d of %d mutants", rule.Name, catches[rule.Name], len(mutants))
	}
}

// TestProofOfTheReference passes the right reference 200 times, on each kind of
// clock, with -args -proof. proof_test.go does so with the memory backend.
func TestProofOfTheReference(t *testing.T) {
	if !*proof {
		t.Skip("skipped: run with -args -proof")
	}
	for round := range 200 {
		for _, real := range []bool{true, false} {
			for _, rule := range Rules() {
				t.Run(fmt.Sprint(round, "/", rule.Name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { rule.Run(t, harness("", real)) })
				})
			}
		}
	}
}

// Proof tells the tests outside of this package whether they are asked for.
func Proof() bool { return *proof }
