package sqlitestore

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// The executor over this store, with one fault in its way: whatever it is, the
// action runs once and both callers get its answer.
func TestOneFaultInTheWay(t *testing.T) {
	for name, script := range map[string]func(*faults.Injector){
		"the claim's reply is lost":       func(i *faults.Injector) { i.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply) },
		"the claim isn't applied":         func(i *faults.Injector) { i.OnNth(faults.Of(faults.Claim), 1, faults.NotApplied) },
		"the commit's reply is lost":      func(i *faults.Injector) { i.OnNth(faults.OfEnding(backend.Complete), 1, faults.LoseReply) },
		"the commit isn't applied":        func(i *faults.Injector) { i.OnNth(faults.OfEnding(backend.Complete), 1, faults.NotApplied) },
		"the commit arrives twice, late":  func(i *faults.Injector) { i.OnNth(faults.OfEnding(backend.Complete), 1, faults.LateCall(0)) },
		"the second caller isn't woken":   func(i *faults.Injector) { i.OnNth(faults.Of(faults.Wait), 1, faults.DropWakeups) },
		"the second caller's look failed": func(i *faults.Injector) { i.OnNth(faults.Of(faults.Wait), 1, faults.NotApplied) },
	} {
		t.Run(name, func(t *testing.T) {
			store, _ := newStore(t, Options{})
			injector := faults.NewInjector(nil)
			defer injector.Close()
			script(injector)
			x, err := idempotency.New(injector.Wrap(store), idempotency.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var runs atomic.Int32
			call := func() (string, error) {
				return idempotency.Run(t.Context(), x, "key", func(context.Context) (string, error) {
					runs.Add(1)
					return "answer", nil
				})
			}
			for range 2 {
				if answer, err := call(); err != nil || answer != "answer" {
					t.Errorf("got %q, %v", answer, err)
				}
			}
			injector.DeliverLate()
			if answer, err := call(); err != nil || answer != "answer" || runs.Load() != 1 {
				t.Errorf("got %q, %v, after %d runs", answer, err, runs.Load())
			}
		})
	}
}

// A claim that arrives after its sender gave up and released finds the trace of the
// release, and holds the key for nobody.
func TestAClaimThatArrivesAfterItsRelease(t *testing.T) {
	store, _ := newStore(t, Options{})
	injector := faults.NewInjector(nil)
	defer injector.Close()
	injector.OnNth(faults.Of(faults.Claim), 1, faults.LateCall(0))
	late := injector.Wrap(store)
	if _, err := late.Claim(t.Context(), "key", claimOf(1)); err == nil {
		t.Fatal("the claim wasn't held back")
	}
	release := backend.CommitRequest{Token: backend.Token{1}, Ending: backend.Release, Keep: claimOf(1).Keep}
	if err := late.Commit(t.Context(), "key", release); err != nil {
		t.Fatal(err)
	}
	injector.DeliverLate()
	record, err := store.Fetch(t.Context(), "key")
	if err != nil || record.State != backend.Vacant || record.Fence == 0 {
		t.Errorf("%+v, %v; want a vacant key that has a fence", record, err)
	}
}
