package memory_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newStore makes a store that is closed with the test.
func newStore(tb testing.TB) *memory.Backend {
	store := memory.New()
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return store
}

// take claims an unknown key.
func take(tb testing.TB, store backend.Backend, key string, request backend.ClaimRequest) backend.Record {
	tb.Helper()
	record, err := store.Claim(tb.Context(), key, request)
	if err != nil || record.State != backend.Claimed || record.Token != request.Token {
		tb.Fatalf("Claim(%q) = %+v, %v, want it claimed by %x", key, record, err, request.Token)
	}
	return record
}

// renew is the renewal of what take returned.
func renew(held backend.Record, lease time.Duration) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: held.Token, Lease: lease, Keep: time.Hour, Renewal: true, Fence: held.Fence, Attempt: held.Attempt,
	}
}

// eventually waits until a condition holds.
func eventually(tb testing.TB, within time.Duration, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", within, what)
		}
	}
}

// newRandom is seeded differently in each run; the log tells by what.
func newRandom(tb testing.TB) *rand.Rand {
	seed := rand.Uint64()
	tb.Logf("random seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
