package idempotency_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

// What a call allocates, the store's own included: it decides what a call costs
// where no network is in between.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools")
	}
	store := memory.New()
	defer store.Close()
	x, err := idempotency.New(store, idempotency.Options{Namespace: "payments", Codec: codec.Raw})
	if err != nil {
		t.Fatal(err)
	}
	charge, err := idempotency.NewOperation(x, idempotency.OperationOptions[[]byte]{Name: "charge"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	payload := make([]byte, 128)
	action := func(ctx context.Context) ([]byte, error) { return payload, nil }

	const runs = 2000
	keys := make([]string, 0, runs+1)
	for i := range runs + 1 {
		keys = append(keys, fmt.Sprintf("payment-%08d", i))
	}
	run := func(key string) {
		if _, err := charge.Run(ctx, key, action); err != nil {
			t.Fatal(err)
		}
	}
	fresh := testing.AllocsPerRun(runs, func() {
		run(keys[0])
		keys = keys[1:]
	})
	run("payment")
	replay := testing.AllocsPerRun(runs, func() { run("payment") })
	t.Logf("fresh %v, replay %v", fresh, replay)
	if fresh > 7 {
		t.Errorf("a fresh call makes %v allocations, want at most 7", fresh)
	}
	if replay > 3 {
		t.Errorf("a replay makes %v allocations, want at most 3", replay)
	}
}

// What an action was given stays its own, although the call's other parts are
// used again: it may have left a goroutine behind that still looks at its ctx.
func TestContextOfAnActionIsKept(t *testing.T) {
	store := memory.New()
	defer store.Close()
	x, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
	if err != nil {
		t.Fatal(err)
	}
	const runs = 100
	kept := make([]context.Context, runs)
	dones := make([]<-chan struct{}, runs)
	for i := range runs {
		key := fmt.Sprintf("payment-%d", i)
		if err := idempotency.Exec(context.Background(), x, key, func(ctx context.Context) error {
			kept[i] = ctx
			if i%2 == 0 {
				dones[i] = ctx.Done()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i, ctx := range kept {
		execution, ok := idempotency.ExecutionOf(ctx)
		if want := fmt.Sprintf("payment-%d", i); !ok || execution.Key != want {
			t.Errorf("the ctx of %s has %+v", want, execution)
		}
		done := dones[i]
		if done == nil {
			done = ctx.Done()
		}
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Errorf("the ctx of action %d has not ended", i)
		}
	}
}
