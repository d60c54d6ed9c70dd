package memory_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

var (
	payload  = bytes.Repeat([]byte("x"), 128)
	metadata = bytes.Repeat([]byte("m"), 40)
)

func tokenOf(n uint64) (token backend.Token) {
	binary.BigEndian.PutUint64(token[:8], n+1)
	return token
}

func claimBy(token backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: token, Lease: 30 * time.Second, Keep: 24 * time.Hour, Fence: 1, Metadata: metadata,
	}
}

func completeBy(token backend.Token) backend.CommitRequest {
	return backend.CommitRequest{
		Token: token, Ending: backend.Complete, Outcome: payload, Retention: 24 * time.Hour,
		LeaseHeld: true, Metadata: metadata, Attempt: 1, Fence: 1,
	}
}

// keysAhead makes keys of 16 bytes, so that the timed loop doesn't.
func keysAhead(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "key-" + strconv.Itoa(100_000_000_000+i)
	}
	return keys
}

// freshKeys is how many keys a store of BenchmarkFresh gets, one after another.
const freshKeys = 1 << 16

// Fresh is a Claim and a Commit of a key that the store doesn't know.
func BenchmarkFresh(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	keys := keysAhead(freshKeys)
	store := memory.New()
	defer func() { store.Close() }()
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		i := int(n % freshKeys)
		if i == 0 && n > 0 {
			b.StopTimer()
			store.Close()
			store = memory.New()
			b.StartTimer()
		}
		n++
		token := tokenOf(n)
		if _, err := store.Claim(ctx, keys[i], claimBy(token)); err != nil {
			b.Fatal(err)
		}
		if err := store.Commit(ctx, keys[i], completeBy(token)); err != nil {
			b.Fatal(err)
		}
	}
}

// Replay is a Claim of a key that is completed.
func BenchmarkReplay(b *testing.B) {
	for _, count := range []int{1, 1 << 16} {
		b.Run(strconv.Itoa(count)+"_keys", func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			store := memory.New()
			defer store.Close()
			keys := keysAhead(count)
			for i, key := range keys {
				token := tokenOf(uint64(i))
				if _, err := store.Claim(ctx, key, claimBy(token)); err != nil {
					b.Fatal(err)
				}
				if err := store.Commit(ctx, key, completeBy(token)); err != nil {
					b.Fatal(err)
				}
			}
			request := claimBy(tokenOf(1 << 40))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				record, err := store.Claim(ctx, keys[n%count], request)
				if err != nil || record.State != backend.Completed {
					b.Fatal(record, err)
				}
				n++
			}
		})
	}
}

// FreshParallel is Fresh from several goroutines.
func BenchmarkFreshParallel(b *testing.B) {
	store := memory.New()
	defer store.Close()
	var workers atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := b.Context()
		worker := workers.Add(1)
		for n := uint64(0); pb.Next(); n++ {
			key := "key-" + strconv.FormatUint(worker<<40+n, 36)
			token := tokenOf(worker<<40 + n)
			request := completeBy(token)
			request.Retention = 100 * time.Millisecond
			if _, err := store.Claim(ctx, key, claimBy(token)); err != nil {
				b.Error(err)
			}
			if err := store.Commit(ctx, key, request); err != nil {
				b.Error(err)
			}
		}
	})
}

// Wake is from the commit until the one who waits has the outcome.
func BenchmarkWake(b *testing.B) {
	ctx := b.Context()
	store := memory.New()
	defer store.Close()
	keys := keysAhead(freshKeys)
	waits, woken := make(chan uint64), make(chan error)
	go func() {
		for n := range waits {
			_, err := store.Wait(ctx, keys[n%freshKeys], tokenOf(n))
			woken <- err
		}
	}()
	defer close(waits)
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		key, token := keys[n%freshKeys], tokenOf(n)
		store.Forget(ctx, key)
		store.Claim(ctx, key, claimBy(token))
		waits <- n
		store.Commit(ctx, key, completeBy(token))
		if err := <-woken; err != nil {
			b.Fatal(err)
		}
	}
}
