// Package gathertest tests backends that send the commands of several calls
// together.
package gathertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Crowd lets 200 callers claim 150 keys at once, and 20 times others, and complete
// what they got: every key has one owner, and everybody its own answer.
func Crowd(t *testing.T, store backend.Backend) {
	t.Helper()
	const callers, keys, rounds = 200, 150, 20
	owners := make([][keys]atomic.Int64, rounds)
	var calls sync.WaitGroup
	for caller := range callers {
		calls.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for round := range rounds {
				key := fmt.Sprint("crowd ", round, " ", caller%keys)
				owner, err := claim(ctx, store, key)
				if err != nil {
					t.Errorf("%s: %v", key, err)
					return
				}
				if owner {
					owners[round][caller%keys].Add(1)
				}
			}
		})
	}
	calls.Wait()
	for round := range owners {
		for n := range owners[round] {
			if got := owners[round][n].Load(); got != 1 {
				t.Errorf("round %d, key %d: %d owners", round, n, got)
			}
		}
	}
}

// claim claims a key, completes it where it got it, and tells whether it did.
func claim(ctx context.Context, store backend.Backend, key string) (owner bool, err error) {
	request := backend.ClaimRequest{Lease: time.Minute, Keep: time.Minute, Fence: uint64(time.Now().UnixMicro())}
	_, _ = rand.Read(request.Token[:])
	record, err := store.Claim(ctx, key, request)
	if err != nil {
		return false, err
	}
	if record.State == backend.Claimed && record.Token == request.Token {
		return true, store.Commit(ctx, key, backend.CommitRequest{
			Token: request.Token, Ending: backend.Complete, Outcome: []byte("outcome of " + key), Retention: time.Minute,
			LeaseHeld: true, Attempt: record.Attempt, Fence: record.Fence,
		})
	}
	if record.State == backend.Completed && string(record.Outcome) != "outcome of "+key {
		return false, fmt.Errorf("its answer is %q", record.Outcome)
	}
	return false, nil
}
