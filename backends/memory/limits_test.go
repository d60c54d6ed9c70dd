package memory_test

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// A key whose fence can't grow is refused: two holders with one fence would be
// two holders that nobody can tell apart.
func TestTheHighestFenceIsNotTakenOver(t *testing.T) {
	ctx := t.Context()
	store := newStore(t)
	held := backend.Record{Token: tokenOf(1), Fence: backend.MaxFence - 1, Attempt: math.MaxUint32}
	record := take(t, store, "key", renew(held, time.Hour))
	abandon := backend.CommitRequest{Token: held.Token, Ending: backend.Abandon, Keep: time.Hour}
	if err := store.Commit(ctx, "key", abandon); err != nil {
		t.Fatal(err)
	}
	request := claimBy(tokenOf(2))
	request.Seen = record.Fence
	if got, err := store.Claim(ctx, "key", request); !errors.Is(err, backend.ErrPermanent) {
		t.Errorf("Claim = %+v, %v, want ErrPermanent", got, err)
	}
	if got, err := store.Fetch(ctx, "key"); err != nil || got.State != backend.Abandoned || got.Token != held.Token {
		t.Errorf("the record is %+v, %v", got, err)
	}
}

// Attempts are counted up to the highest number and stay there: never back to 1,
// which would claim that nothing was tried before.
func TestAttemptsDoNotWrap(t *testing.T) {
	ctx := t.Context()
	store := newStore(t)
	held := take(t, store, "key", renew(backend.Record{Token: tokenOf(1), Fence: 1, Attempt: math.MaxUint32}, time.Hour))
	abandon := backend.CommitRequest{Token: held.Token, Ending: backend.Abandon, Keep: time.Hour}
	if err := store.Commit(ctx, "key", abandon); err != nil {
		t.Fatal(err)
	}
	request := claimBy(tokenOf(2))
	request.Seen = held.Fence
	if got := take(t, store, "key", request); got.Attempt != math.MaxUint32 || got.Fence != 2 {
		t.Errorf("taken with attempt %d and fence %d", got.Attempt, got.Fence)
	}
}

func TestOutcomesOfAnySize(t *testing.T) {
	ctx := t.Context()
	store := newStore(t)
	commit := completeBy(tokenOf(1))
	commit.Outcome = bytes.Repeat([]byte("0123456789abcdef"), 4*backend.MaxOutcome/16+1)
	if err := store.Commit(ctx, "key", commit); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Fetch(ctx, "key"); err != nil || !bytes.Equal(got.Outcome, commit.Outcome) {
		t.Errorf("Fetch returned %d bytes and %v, want %d bytes", len(got.Outcome), err, len(commit.Outcome))
	}
}
