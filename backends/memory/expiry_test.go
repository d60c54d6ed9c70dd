package memory_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// No key is touched again, and no verb called: the memory must come back by
// itself.
func TestMemoryComesBack(t *testing.T) {
	keys := 1_000_000
	switch {
	case testing.Short():
		t.Skip("a million keys: not with -short")
	case raceEnabled:
		keys = 50_000
	}
	ctx := t.Context()
	store := newStore(t)
	base := heap()
	for i := range keys {
		key, token := "key-"+strconv.Itoa(i), tokenOf(uint64(i))
		if _, err := store.Claim(ctx, key, claimBy(token)); err != nil {
			t.Fatal(err)
		}
		commit := completeBy(token)
		commit.Retention = time.Second
		if err := store.Commit(ctx, key, commit); err != nil {
			t.Fatal(err)
		}
	}
	full := heap()
	start := time.Now()
	limit := base + (full-base)/100 + 64<<10
	eventually(t, 10*time.Second, fmt.Sprintf("heap of %d bytes down to %d (base %d)", full, limit, base), func() bool {
		return store.Held() == memory.Held{} && heap() <= limit
	})
	t.Logf("%d keys: heap %d, with all keys %d, after %v %d", keys, base, full, time.Since(start), heap())
}

// A record of a day among a million of a second must not keep their maps.
func TestMapsShrinkAroundWhatStays(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures the heap")
	}
	ctx := t.Context()
	store := newStore(t)
	base := heap()
	for i := range 300_000 {
		request := claimBy(tokenOf(uint64(i)))
		request.Lease, request.Keep = time.Millisecond, 500*time.Millisecond
		if i%1000 == 0 {
			request.Keep = 24 * time.Hour
		}
		if _, err := store.Claim(ctx, "key-"+strconv.Itoa(i), request); err != nil {
			t.Fatal(err)
		}
	}
	full := heap()
	eventually(t, 10*time.Second, "300 records of 300,000 left", func() bool { return store.Held().Records == 300 })
	if left := heap(); left > base+(full-base)/20 {
		t.Errorf("the heap grew from %d to %d, and is %d with a thousandth of the records left", base, full, left)
	}
}

func TestExpiredRecordsAreInvisibleBeforeTheyAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := newStore(t)
		commit := completeBy(tokenOf(1))
		commit.Retention = time.Hour
		if err := store.Commit(ctx, "key", commit); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - 1)
		if record, err := store.Fetch(ctx, "key"); err != nil || record.State != backend.Completed || record.Remaining != 1 {
			t.Errorf("a nanosecond before its end: %+v, %v", record, err)
		}
		time.Sleep(time.Nanosecond)
		if held := store.Held(); held.Records != 1 {
			t.Fatalf("the record was swept to the nanosecond (%+v): the test tests nothing", held)
		}
		if record, err := store.Fetch(ctx, "key"); err != nil || !record.Unknown() {
			t.Errorf("at its end: %+v, %v, want an unknown key", record, err)
		}
		take(t, store, "key", claimBy(tokenOf(2)))
	})
}

// How long the memory of a record stays after its end, whatever changed it.
func TestMemoryStaysBoundedlyLonger(t *testing.T) {
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		last   time.Duration // what the last verb asked for
		change func(t *testing.T, store *memory.Backend)
	}{
		"claim, shortest": {2 * time.Millisecond, func(t *testing.T, store *memory.Backend) {
			take(t, store, "key", backend.ClaimRequest{Token: tokenOf(1), Lease: time.Millisecond, Keep: time.Millisecond})
		}},
		"claim, longest": {2 * backend.MaxDuration, func(t *testing.T, store *memory.Backend) {
			take(t, store, "key", backend.ClaimRequest{Token: tokenOf(1), Lease: backend.MaxDuration, Keep: backend.MaxDuration})
		}},
		"commit for less than the claim's Keep": {time.Second, func(t *testing.T, store *memory.Backend) {
			take(t, store, "key", claimBy(tokenOf(1)))
			commit := completeBy(tokenOf(1))
			commit.Retention = time.Second
			if err := store.Commit(t.Context(), "key", commit); err != nil {
				t.Fatal(err)
			}
		}},
		"commit for more than the claim's Keep": {day, func(t *testing.T, store *memory.Backend) {
			take(t, store, "key", backend.ClaimRequest{Token: tokenOf(1), Lease: time.Second, Keep: time.Second})
			if err := store.Commit(t.Context(), "key", completeBy(tokenOf(1))); err != nil {
				t.Fatal(err)
			}
		}},
		"renewals": {time.Minute + time.Second, func(t *testing.T, store *memory.Backend) {
			held := take(t, store, "key", backend.ClaimRequest{Token: tokenOf(1), Lease: time.Second, Keep: time.Minute})
			for range 1000 {
				time.Sleep(time.Second / 3)
				take(t, store, "key", renew(held, time.Second))
			}
		}},
		"abandon, repeated": {time.Minute, func(t *testing.T, store *memory.Backend) {
			take(t, store, "key", claimBy(tokenOf(1)))
			for _, keep := range []time.Duration{day, time.Minute} {
				request := backend.CommitRequest{Token: tokenOf(1), Ending: backend.Abandon, Keep: keep}
				if err := store.Commit(t.Context(), "key", request); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"release of an unknown key": {time.Minute, func(t *testing.T, store *memory.Backend) {
			request := backend.CommitRequest{Token: tokenOf(1), Ending: backend.Release, Keep: time.Minute}
			if err := store.Commit(t.Context(), "key", request); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				test.change(t, store)
				if held := store.Held(); held.Records != 1 || held.Filed != 1 || !held.Armed {
					t.Errorf("the store holds %+v, want one record, filed once, and an armed timer", held)
				}
				time.Sleep(test.last - 1)
				synctest.Wait()
				if held := store.Held(); held.Records != 1 {
					t.Errorf("forgotten too early: %+v", held)
				}
				time.Sleep(1 + max(300*time.Millisecond, test.last/32))
				synctest.Wait()
				if held := store.Held(); held != (memory.Held{}) {
					t.Errorf("the store still holds %+v", held)
				}
			})
		})
	}
}

func TestForgetLeavesNothing(t *testing.T) {
	ctx := t.Context()
	store := newStore(t)
	for i := range 1000 {
		take(t, store, strconv.Itoa(i), claimBy(tokenOf(uint64(i))))
	}
	for i := range 1000 {
		if err := store.Forget(ctx, strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if held := store.Held(); held != (memory.Held{}) {
		t.Errorf("the store still holds %+v", held)
	}
	// The timer was stopped; what comes then is forgotten all the same.
	take(t, store, "key", backend.ClaimRequest{Token: tokenOf(1), Lease: time.Millisecond, Keep: time.Millisecond})
	eventually(t, 10*time.Second, "the record is forgotten", func() bool { return store.Held() == memory.Held{} })

	take(t, store, "key", claimBy(tokenOf(1)))
	if err := store.Forget(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if store.StopTimer() {
		t.Error("the empty store has a pending timer")
	}
}

// Many records in many buckets, changed at random: what the store holds always
// agrees with itself, and all of it goes.
func TestRecordsAreFiledOnce(t *testing.T) {
	for name, open := range map[string]func() *memory.Backend{"own hashes": memory.New, "equal hashes": memory.NewColliding} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				store := open()
				defer store.Close()
				random := newRandom(t)
				duration := func() time.Duration { return time.Millisecond << random.IntN(18) }
				for i := range 20_000 {
					key, token := strconv.Itoa(random.IntN(300)), tokenOf(uint64(random.IntN(3)))
					record, err := store.Fetch(ctx, key)
					if err != nil {
						t.Fatal(err)
					}
					switch random.IntN(6) {
					case 0, 1, 2:
						_, err = store.Claim(ctx, key, backend.ClaimRequest{
							Token: token, Lease: duration(), Keep: duration(), Seen: record.Fence,
						})
					case 3, 4:
						request := backend.CommitRequest{
							Token: token, Ending: backend.Ending(1 + random.IntN(3)), LeaseHeld: random.IntN(2) == 0,
							Retention: duration(), Keep: duration(),
						}
						if err = store.Commit(ctx, key, request); errors.Is(err, backend.ErrSuperseded) {
							err = nil // most are
						}
					case 5:
						if random.IntN(4) == 0 {
							err = store.Forget(ctx, key)
						}
					}
					if err != nil {
						t.Fatal(err)
					}
					if random.IntN(10) == 0 {
						time.Sleep(duration() / 4)
					}
					if i%500 == 0 {
						synctest.Wait()
						if held := store.Held(); held.Filed != held.Records || held.Records > 300 || held.Armed != (held.Records > 0) && held.Buckets == 0 {
							t.Fatalf("after %d verbs the store holds %+v", i, held)
						}
					}
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if held := store.Held(); held != (memory.Held{}) {
					t.Errorf("an hour after everything ended the store holds %+v", held)
				}
			})
		})
	}
}

func TestDroppedStoreIsCollected(t *testing.T) {
	collected := make(chan struct{})
	func() {
		store := memory.New()
		take(t, store, "key", claimBy(tokenOf(1)))
		if !store.Held().Armed {
			t.Fatal("no timer is armed: the test tests nothing")
		}
		runtime.AddCleanup(store, func(c chan struct{}) { close(c) }, collected)
	}()
	eventually(t, 10*time.Second, "a store that nobody closed is collected, though its timer is pending", func() bool {
		runtime.GC()
		select {
		case <-collected:
			return true
		default:
			return false
		}
	})
}
