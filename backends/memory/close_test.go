package memory_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

// verbs calls every verb once.
func verbs(ctx context.Context, store *memory.Backend, key string, token backend.Token) map[string]error {
	errs := map[string]error{}
	_, errs["Claim"] = store.Claim(ctx, key, claimBy(token))
	errs["Commit"] = store.Commit(ctx, key, completeBy(token))
	_, errs["Wait"] = store.Wait(ctx, key, token)
	_, errs["Fetch"] = store.Fetch(ctx, key)
	errs["Forget"] = store.Forget(ctx, key)
	return errs
}

func TestCloseWakesAndRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		take(t, store, "key", claimBy(tokenOf(1)))
		first := startWait(t.Context(), store, "key", tokenOf(1))
		second := startWait(t.Context(), store, "key", tokenOf(1))
		for range 2 {
			if err := store.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		for _, result := range []<-chan waited{first, second} {
			if got := <-result; !errors.Is(got.err, backend.ErrClosed) || got.after != 0 {
				t.Errorf("Wait returned %+v, %v after %v, want ErrClosed at once", got.record, got.err, got.after)
			}
		}
		for verb, err := range verbs(t.Context(), store, "key", tokenOf(1)) {
			if !errors.Is(err, backend.ErrClosed) {
				t.Errorf("%s of a closed store: %v, want ErrClosed", verb, err)
			}
		}
		if held := store.Held(); held.Records+held.Filed+held.Buckets+held.Watches != 0 {
			t.Errorf("the closed store holds %+v", held)
		}
		if store.StopTimer() {
			t.Error("the closed store has a pending timer")
		}
	})
}

func TestCloseAmidstVerbs(t *testing.T) {
	for range 20 {
		store := memory.New()
		var group sync.WaitGroup
		for worker := range uint64(4) {
			group.Go(func() {
				for n := uint64(0); ; n++ {
					token := tokenOf(worker<<32 + n)
					key := strconv.FormatUint(n, 10)
					record, err := store.Claim(t.Context(), key, claimBy(token))
					if err == nil && record.Token != token {
						_, err = store.Wait(t.Context(), key, record.Token)
					} else if err == nil {
						err = store.Commit(t.Context(), key, completeBy(token))
					}
					if errors.Is(err, backend.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 100 {
			runtime.Gosched()
		}
		store.Close()
		group.Wait()
	}
}

// A bubble ends when its goroutines have: records and an armed timer don't keep
// it, nor do they make it deadlock.
func TestBubbleEndsWithRecordsInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		take(t, store, "held", claimBy(tokenOf(1)))
		if err := store.Commit(t.Context(), "completed", completeBy(tokenOf(2))); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEndedContextHasNoEffect(t *testing.T) {
	store := newStore(t)
	take(t, store, "key", claimBy(tokenOf(1)))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, ctx := range []context.Context{cancelled, late} {
		for verb, err := range verbs(ctx, store, "key", tokenOf(1)) {
			if !errors.Is(err, ctx.Err()) || !errors.Is(err, backend.ErrNotApplied) {
				t.Errorf("%s: %v, want %v and ErrNotApplied", verb, err, ctx.Err())
			}
		}
	}
	if record, err := store.Fetch(t.Context(), "key"); err != nil || record.State != backend.Claimed {
		t.Errorf("the record is %+v, %v", record, err)
	}
}
