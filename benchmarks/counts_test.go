package benchmarks

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
)

// What a call of an executor sends, in commands and round trips.
func TestCommandsAndRoundTrips(t *testing.T) {
	for _, client := range clients.All {
		t.Run(client.Name, func(t *testing.T) {
			r := newRig(t, client)
			for _, c := range []struct {
				name            string
				commands, trips int
				call            func(key string) error
				before          func(key string)
			}{
				{"fresh", 2, 2, func(key string) error {
					_, err := idempotency.Run(t.Context(), r.onTap, key, answer(payloadOf(128)))
					return err
				}, nil},
				{"fresh, 16 KiB", 3, 2, func(key string) error {
					_, err := idempotency.Run(t.Context(), r.onTap, key, answer(payloadOf(16<<10)))
					return err
				}, nil},
				{"replay", 1, 1, func(key string) error {
					_, err := idempotency.Run(t.Context(), r.onTap, key, notAgain)
					return err
				}, func(key string) {
					if _, err := idempotency.Run(t.Context(), r.x, key, answer(payloadOf(128))); err != nil {
						t.Fatal(err)
					}
				}},
			} {
				key := nextKey('c')
				if c.before != nil {
					c.before(key)
				}
				r.tap.Take()
				if err := c.call(key); err != nil {
					t.Fatal(err)
				}
				if commands, trips := r.tap.Count(); commands != c.commands || trips != c.trips {
					t.Errorf("%s: %d commands in %d round trips, want %d in %d", c.name, commands, trips, c.commands, c.trips)
				}
			}
			r.lostClaim(t)
			if client.Caches {
				r.hotReplays(t)
			}
		})
	}
}

// lostClaim checks a call that doesn't wait for another process.
func (r *rig) lostClaim(t *testing.T) {
	key := nextKey('c')
	operation, err := idempotency.NewOperation(r.onTap, idempotency.OperationOptions[[]byte]{NoWait: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = idempotency.Run(t.Context(), r.x, key, func(ctx context.Context) ([]byte, error) {
		r.tap.Take()
		if _, err := operation.Run(ctx, key, notAgain); err == nil {
			t.Error("a claimed key was answered")
		}
		if commands, trips := r.tap.Count(); commands != 2 || trips != 2 {
			t.Errorf("lost claim: %d commands in %d round trips, want 2 in 2", commands, trips)
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hotReplays checks that replays from the third on send nothing.
func (r *rig) hotReplays(t *testing.T) {
	key := nextKey('c')
	for i := range 10 {
		if i == 3 {
			r.tap.Take()
		}
		if _, err := idempotency.Run(t.Context(), r.onTap, key, answer(payloadOf(128))); err != nil {
			t.Fatal(err)
		}
	}
	if commands, trips := r.tap.Count(); commands != 0 || trips != 0 {
		t.Errorf("hot replays: %d commands in %d round trips, want none", commands, trips)
	}
}

// What a call allocates over the bare commands, with a ctx that can be
// cancelled: at most 10 for a fresh call and 6 for a replay.
func TestAllocationsOverBare(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, client := range clients.All {
		t.Run(client.Name, func(t *testing.T) {
			r := newRig(t, client)
			clients.Trust(t, r.store)
			for _, c := range []struct {
				what string
				over float64
			}{{"fresh", 10}, {"replay", 6}} {
				if c.what == "replay" && client.Caches {
					c.what = "hot"
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				a := r.against(t, c.what, payloadOf(128), 1)
				count := func(contender measure.Contender) float64 {
					n, _ := measure.Allocs(200, func() {
						if err := contender.Run(ctx, 0, 1); err != nil {
							t.Fatal(err)
						}
					})
					return n
				}
				call, bare := count(a.call(r.x)), count(a.bare)
				t.Logf("%s: %.2f allocations, bare %.2f", c.what, call, bare)
				if call > bare+c.over+0.5 {
					t.Errorf("%s: %.2f allocations, the bare commands have %.2f; want at most %v more", c.what, call, bare, c.over)
				}
			}
		})
	}
}

// What a call on the memory backend allocates.
func TestAllocationsInMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for what, most := range map[string]float64{"fresh": 12, "replay": 6} {
		call := memoryCalls(t, what, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n, _ := measure.Allocs(2000, func() {
			if err := call.Run(ctx, 0, 1); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("%s: %.2f allocations", what, n)
		if n > most+0.5 {
			t.Errorf("%s: %.2f allocations, want at most %v", what, n, most)
		}
	}
}

// A short action runs in its caller's goroutine, and nothing else is started for
// it.
func TestShortActionsStartNoGoroutine(t *testing.T) {
	check := func(t *testing.T, x *idempotency.Executor) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		call := func() (before, during, after int) {
			before = runtime.NumGoroutine()
			_, err := idempotency.Run(ctx, x, nextKey('c'), func(context.Context) ([]byte, error) {
				during = runtime.NumGoroutine()
				return nil, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return before, during, runtime.NumGoroutine()
		}
		// Something else may begin or end at the same time: one quiet call among
		// some is enough.
		deadline := time.Now().Add(10 * time.Second)
		for {
			before, during, after := call()
			if during <= before && after <= before {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines before the call, %d during its action, %d after it", before, during, after)
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Run("memory", func(t *testing.T) {
		store := memory.New()
		t.Cleanup(func() { store.Close() })
		check(t, newExecutor(t, store, idempotency.Options{}))
	})
	for _, client := range clients.Distinct() {
		t.Run(client.Name, func(t *testing.T) { check(t, newRig(t, client).x) })
	}
}
