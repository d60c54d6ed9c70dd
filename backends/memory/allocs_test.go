package memory_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// What the executor's own goals leave to the store: at most 4 allocations for a
// fresh call, at most 2 for a replay.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// So many that the growth of maps doesn't count.
	const runs = 20_000
	keys := keysAhead(runs + 1)
	store := newStore(t)
	held := take(t, store, "held", claimBy(tokenOf(1)))
	if err := store.Commit(ctx, "completed", completeBy(tokenOf(1))); err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, test := range []struct {
		name string
		want float64
		verb func()
	}{
		{"a fresh Claim and Commit", 3, func() {
			token := tokenOf(uint64(next))
			if _, err := store.Claim(ctx, keys[next], claimBy(token)); err != nil {
				t.Fatal(err)
			}
			if err := store.Commit(ctx, keys[next], completeBy(token)); err != nil {
				t.Fatal(err)
			}
			next++
		}},
		{"a Claim that replays", 1, func() {
			if record, err := store.Claim(ctx, "completed", claimBy(tokenOf(2))); err != nil || len(record.Outcome) == 0 {
				t.Fatal(record, err)
			}
		}},
		{"a Claim that loses", 1, func() {
			if record, err := store.Claim(ctx, "held", claimBy(tokenOf(2))); err != nil || record.LeaseLeft <= 0 {
				t.Fatal(record, err)
			}
		}},
		{"a renewal", 1, func() {
			if _, err := store.Claim(ctx, "held", renew(held, time.Minute)); err != nil {
				t.Fatal(err)
			}
		}},
		{"a repeated Commit", 0, func() {
			if err := store.Commit(ctx, "completed", completeBy(tokenOf(1))); err != nil {
				t.Fatal(err)
			}
		}},
		{"a superseded Commit", 0, func() {
			if err := store.Commit(ctx, "completed", completeBy(tokenOf(2))); err == nil {
				t.Fatal("no error")
			}
		}},
		{"a Fetch of an unknown key", 0, func() {
			if record, err := store.Fetch(ctx, "unknown"); err != nil || !record.Unknown() {
				t.Fatal(record, err)
			}
		}},
	} {
		if got := testing.AllocsPerRun(runs, test.verb); got > test.want {
			t.Errorf("%s allocates %v times, want at most %v", test.name, got, test.want)
		}
	}
}

// A returned record is one piece of memory, and an append to one of its slices
// doesn't run into the next; a caller's key and slices are its own again.
func TestNothingIsShared(t *testing.T) {
	ctx := t.Context()
	for _, size := range []int{3, 80, 1000} { // the key with room, at the edge, and far beyond it
		store := newStore(t)
		room := bytes.Repeat([]byte("k"), size)
		fingerprint, meta, outcome := []byte("fingerprint"), bytes.Repeat([]byte("m"), size), []byte("outcome")
		key := string(room)
		request := claimBy(tokenOf(1))
		request.Fingerprint, request.Metadata = fingerprint, meta
		record := take(t, store, key, request)
		commit := completeBy(tokenOf(1))
		commit.Outcome = outcome
		if err := store.Commit(ctx, key, commit); err != nil {
			t.Fatal(err)
		}
		clear(fingerprint)
		clear(meta)
		clear(outcome)
		clear(append(record.Fingerprint, "xxx"...))
		clear(append(record.Metadata, "xxx"...))
		for range 2 {
			got, err := store.Fetch(ctx, key)
			if err != nil || got.State != backend.Completed {
				t.Fatal(got, err)
			}
			_ = append(got.Fingerprint, "xxx"...)
			_ = append(got.Metadata, "xxx"...)
			if string(got.Fingerprint) != "fingerprint" || string(got.Outcome) != "outcome" ||
				!bytes.Equal(got.Metadata, bytes.Repeat([]byte("m"), size)) {
				t.Fatalf("with a key of %d bytes the record is %+v", size, got)
			}
			clear(got.Fingerprint)
			clear(got.Metadata)
			clear(got.Outcome)
		}
	}
}
