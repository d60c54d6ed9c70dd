package conformance_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
)

// harness is what the suite needs to know of a store that lives in one process:
// every process on it is the same backend.
var harness = conformance.Harness{
	Open: func(tb testing.TB) func() backend.Backend {
		store := memory.New()
		tb.Cleanup(func() { store.Close() })
		return func() backend.Backend { return store }
	},
}

// In a test file this is called TestConformance.
func ExampleRun() {
	_ = func(t *testing.T) {
		conformance.Run(t, harness)
	}
}

// A store without a network can be checked on the clock of a bubble, where
// waiting takes no time.
func ExampleRule_Run() {
	_ = func(t *testing.T) {
		for _, rule := range conformance.Rules() {
			t.Run(rule.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rule.Run(t, harness) })
			})
		}
	}
}

func ExampleRules() {
	for _, rule := range conformance.Rules() {
		if strings.HasPrefix(rule.Name, "Fetch/Unknown") {
			fmt.Println(rule.Name)
			fmt.Println(rule.Prose)
		}
	}
	// Output:
	// Fetch/UnknownIsTheZeroRecord
	// Fetch of an unknown key returns the zero Record and a nil error, and doesn't make it known.
}
