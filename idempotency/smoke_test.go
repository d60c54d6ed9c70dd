package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

func TestSmoke(t *testing.T) {
	store := memory.New()
	defer store.Close()
	x, err := idempotency.New(store, idempotency.Options{})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			v, err := idempotency.Run(t.Context(), x, "k", func(ctx context.Context) (string, error) {
				mu.Lock()
				runs++
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				return "v", nil
			})
			if v != "v" || err != nil {
				t.Error(v, err)
			}
		})
	}
	wg.Wait()
	if runs != 1 {
		t.Fatal(runs)
	}
	boom := errors.New("boom")
	for i := range 2 {
		err := idempotency.Exec(t.Context(), x, "e", func(ctx context.Context) error { return boom })
		t.Log(i, err, errors.Is(err, boom))
	}
}

func BenchmarkFresh(b *testing.B) {
	store := memory.New()
	defer store.Close()
	x, _ := idempotency.New(store, idempotency.Options{Codec: codec.Raw, Namespace: "payments"})
	value := make([]byte, 128)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	keys := make([]string, b.N)
	for i := range keys {
		keys[i] = string([]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		idempotency.Run(ctx, x, keys[i], func(ctx context.Context) ([]byte, error) { return value, nil })
	}
}

func BenchmarkReplay(b *testing.B) {
	store := memory.New()
	defer store.Close()
	x, _ := idempotency.New(store, idempotency.Options{Codec: codec.Raw, Namespace: "payments"})
	value := make([]byte, 128)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	for range b.N {
		idempotency.Run(ctx, x, "0123456789abcdef", func(ctx context.Context) ([]byte, error) { return value, nil })
	}
}
