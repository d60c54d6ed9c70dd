package linearizability_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/linearizability"
)

var harness = conformance.Harness{Open: inMemory}

// In a test file this is called TestLinearizability.
func ExampleCheck() {
	_ = func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // for stores that need no network
			linearizability.Check(t, harness, linearizability.Options{})
		})
	}
}

// A Recorder checks what a test of your own asks of a backend.
func ExampleRecorder() {
	test := func(t testing.TB) {
		recorder := linearizability.NewRecorder(t, linearizability.Options{})
		store := recorder.Wrap(memory.New())
		for i := range 3 {
			r, err := store.Claim(context.Background(), "key", backend.ClaimRequest{
				Token: backend.Token{byte(i + 1)}, Lease: time.Minute, Keep: time.Hour,
			})
			fmt.Println(r.State, r.Token[0], err)
		}
		report := recorder.Verify(t)
		fmt.Println(report.Keys, report.Operations)
	}
	test(new(testing.T))
	// Output:
	// claimed 1 <nil>
	// claimed 1 <nil>
	// claimed 1 <nil>
	// 1 3
}
