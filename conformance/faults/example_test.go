package faults_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
)

// A commit whose reply is lost was applied all the same; sent again, it succeeds.
func ExampleInjector() {
	injector := faults.NewInjector(nil)
	defer injector.Close()
	store := injector.Wrap(memory.New())
	injector.OnNth(faults.OfEnding(backend.Complete), 1, faults.LoseReply)

	ctx := context.Background()
	token := backend.Token{1}
	store.Claim(ctx, "key", backend.ClaimRequest{Token: token, Lease: time.Second, Keep: time.Hour})
	commit := backend.CommitRequest{Token: token, Ending: backend.Complete, Outcome: []byte("answer"), Retention: time.Hour}
	fmt.Println(errors.Is(store.Commit(ctx, "key", commit), faults.ErrUnknownOutcome))
	record, _ := store.Fetch(ctx, "key")
	fmt.Println(record.State, string(record.Outcome))
	fmt.Println(store.Commit(ctx, "key", commit))
	// Output:
	// true
	// completed answer
	// <nil>
}
