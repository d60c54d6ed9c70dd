package memory_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

type waited struct {
	record backend.Record
	err    error
	after  time.Duration
}

// startWait waits in a goroutine; in a bubble it sleeps when this returns.
func startWait(ctx context.Context, store *memory.Backend, key string, token backend.Token) <-chan waited {
	result := make(chan waited, 1)
	start := time.Now()
	go func() {
		record, err := store.Wait(ctx, key, token)
		result <- waited{record, err, time.Since(start)}
	}()
	synctest.Wait()
	return result
}

// What ends a wait, to the nanosecond, on the bubble's clock.
func TestWaitEndsWhen(t *testing.T) {
	const lease = 25 * time.Second // longer than MaxSleep
	holder, other := tokenOf(1), tokenOf(2)
	for name, test := range map[string]struct {
		after time.Duration
		state backend.State
		do    func(ctx context.Context, store *memory.Backend, held backend.Record) error
	}{
		"nothing happens": {after: lease, state: backend.Abandoned},
		"a renewal moves the end": {after: 20*time.Second + lease, state: backend.Abandoned,
			do: func(ctx context.Context, store *memory.Backend, held backend.Record) error {
				time.Sleep(20 * time.Second)
				_, err := store.Claim(ctx, "key", renew(held, lease))
				return err
			}},
		"a renewal brings the end closer": {after: 3 * time.Second, state: backend.Abandoned,
			do: func(ctx context.Context, store *memory.Backend, held backend.Record) error {
				time.Sleep(time.Second)
				_, err := store.Claim(ctx, "key", renew(held, 2*time.Second))
				return err
			}},
		"committed": {after: time.Second, state: backend.Completed,
			do: func(ctx context.Context, store *memory.Backend, _ backend.Record) error {
				time.Sleep(time.Second)
				return store.Commit(ctx, "key", completeBy(holder))
			}},
		"committed and forgotten at once": {after: time.Second, state: backend.Completed,
			do: func(ctx context.Context, store *memory.Backend, _ backend.Record) error {
				time.Sleep(time.Second)
				return errors.Join(store.Commit(ctx, "key", completeBy(holder)), store.Forget(ctx, "key"))
			}},
		"released": {after: time.Second, state: backend.Vacant,
			do: func(ctx context.Context, store *memory.Backend, _ backend.Record) error {
				time.Sleep(time.Second)
				return store.Commit(ctx, "key", backend.CommitRequest{Token: holder, Ending: backend.Release, Keep: time.Hour})
			}},
		"released and taken at once": {after: time.Second, state: backend.Vacant,
			do: func(ctx context.Context, store *memory.Backend, held backend.Record) error {
				time.Sleep(time.Second)
				err := store.Commit(ctx, "key", backend.CommitRequest{Token: holder, Ending: backend.Release, Keep: time.Hour})
				request := claimBy(other)
				request.Seen = held.Fence
				_, claimErr := store.Claim(ctx, "key", request)
				return errors.Join(err, claimErr)
			}},
		"abandoned": {after: time.Second, state: backend.Abandoned,
			do: func(ctx context.Context, store *memory.Backend, _ backend.Record) error {
				time.Sleep(time.Second)
				return store.Commit(ctx, "key", backend.CommitRequest{Token: holder, Ending: backend.Abandon, Keep: time.Hour})
			}},
		"forgotten": {after: time.Second, state: backend.Vacant,
			do: func(ctx context.Context, store *memory.Backend, _ backend.Record) error {
				time.Sleep(time.Second)
				return store.Forget(ctx, "key")
			}},
		"forgotten and renewed at once": {after: time.Second, state: backend.Vacant,
			do: func(ctx context.Context, store *memory.Backend, held backend.Record) error {
				time.Sleep(time.Second)
				err := store.Forget(ctx, "key")
				_, claimErr := store.Claim(ctx, "key", renew(held, lease))
				return errors.Join(err, claimErr)
			}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newStore(t)
				request := claimBy(holder)
				request.Lease = lease
				held := take(t, store, "key", request)
				first := startWait(t.Context(), store, "key", holder)
				second := startWait(t.Context(), store, "key", holder)
				if test.do != nil {
					if err := test.do(t.Context(), store, held); err != nil {
						t.Fatal(err)
					}
				}
				for _, result := range []<-chan waited{first, second} {
					got := <-result
					if got.err != nil || got.record.State != test.state || got.after != test.after {
						t.Errorf("Wait returned %+v, %v after %v, want it %v after %v",
							got.record, got.err, got.after, test.state, test.after)
					}
				}
				if held := store.Held(); held.Watches != 0 {
					t.Errorf("the waits left %+v", held)
				}
			})
		})
	}
}

// Lapsed and revived at the same moment: the key was held by nobody for a
// moment, and whichever of the two goroutines is quicker, the wait is over.
func TestWaitSeesAMomentWithoutALease(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			held := take(t, store, "key", claimBy(tokenOf(1)))
			result := startWait(t.Context(), store, "key", held.Token)
			time.Sleep(30 * time.Second) // the lease: both goroutines are woken now
			take(t, store, "key", renew(held, 30*time.Second))
			if got := <-result; got.err != nil || got.record.State != backend.Abandoned || got.after != 30*time.Second {
				t.Fatalf("Wait returned %+v, %v after %v, want it abandoned when the first lease ended",
					got.record, got.err, got.after)
			}
		})
	}
}

// Taken over, forgotten and claimed back by the one who had it, all before who
// waits gets to look: the key was another's for a moment.
func TestWaitSeesATakeover(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			store := newStore(t)
			held := take(t, store, "key", claimBy(tokenOf(1)))
			result := startWait(t.Context(), store, "key", held.Token)
			time.Sleep(30 * time.Second)
			request := claimBy(tokenOf(2))
			request.Seen = held.Fence
			take(t, store, "key", request)
			if err := store.Forget(t.Context(), "key"); err != nil {
				t.Fatal(err)
			}
			take(t, store, "key", renew(held, 30*time.Second))
			got := <-result
			// It sees the lapsed lease itself where it is the quicker of the two.
			if got.err != nil || got.record.State == backend.Claimed && got.record.Token != request.Token ||
				got.after != 30*time.Second {
				t.Fatalf("Wait returned %+v, %v after %v, want what it was when the lease ended",
					got.record, got.err, got.after)
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		take(t, store, "key", claimBy(tokenOf(1)))
		deadline, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cancelled, cancel2 := context.WithCancel(t.Context())
		one := startWait(deadline, store, "key", tokenOf(1))
		two := startWait(cancelled, store, "key", tokenOf(1))
		three := startWait(t.Context(), store, "key", tokenOf(1))
		if got := <-one; !errors.Is(got.err, context.DeadlineExceeded) || got.after != time.Second {
			t.Errorf("Wait returned %v after %v", got.err, got.after)
		}
		cancel2()
		if got := <-two; !errors.Is(got.err, context.Canceled) || got.after != time.Second {
			t.Errorf("Wait returned %v after %v", got.err, got.after)
		}
		if held := store.Held(); held.Watches != 1 {
			t.Errorf("one still waits, and the store holds %+v", held)
		}
		if err := store.Commit(t.Context(), "key", completeBy(tokenOf(1))); err != nil {
			t.Fatal(err)
		}
		if got := <-three; got.err != nil || got.record.State != backend.Completed {
			t.Errorf("the one who stayed got %+v, %v", got.record, got.err)
		}
	})
}

// What many waits share must not be one record's memory.
func TestWaitersGetSlicesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		take(t, store, "key", claimBy(tokenOf(1)))
		one := startWait(t.Context(), store, "key", tokenOf(1))
		two := startWait(t.Context(), store, "key", tokenOf(1))
		if err := store.Commit(t.Context(), "key", completeBy(tokenOf(1))); err != nil {
			t.Fatal(err)
		}
		scribbled := (<-one).record
		clear(scribbled.Outcome)
		clear(scribbled.Metadata)
		if got := (<-two).record; string(got.Outcome) != string(payload) || string(got.Metadata) != string(metadata) {
			t.Errorf("the other waiter got %+v", got)
		}
	})
}

func TestWaitsLeaveNothingBehind(t *testing.T) {
	keys := 100_000
	if testing.Short() || raceEnabled {
		keys = 5_000
	}
	ctx := t.Context()
	store := newStore(t)
	base := heap()
	var group sync.WaitGroup
	slots := make(chan struct{}, 500)
	for i := range keys {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			key, token := strconv.Itoa(i), tokenOf(uint64(i))
			request := claimBy(token)
			if i%4 == 0 {
				request.Lease = time.Millisecond
			}
			if _, err := store.Claim(ctx, key, request); err != nil {
				t.Error(err)
			}
			waiting, cancel := context.WithCancel(ctx)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := store.Wait(waiting, key, token)
				done <- err
			}()
			var err, want error
			switch i % 4 { // the first: the lease ends
			case 1:
				err = store.Commit(ctx, key, completeBy(token))
			case 2:
				cancel()
				want = context.Canceled
			case 3:
				err = store.Forget(ctx, key)
			}
			if err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, want) {
				t.Errorf("Wait returned %v, want %v", err, want)
			}
			if err := store.Forget(ctx, key); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if held := store.Held(); held != (memory.Held{}) {
		t.Errorf("the store still holds %+v", held)
	}
	// 100,000 of anything are more than this.
	if left := heap(); left > base+uint64(keys)*5+1<<20 {
		t.Errorf("the heap grew from %d to %d", base, left)
	}
}
