package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

// forgetful keeps nothing: what memory is left is the executor's.
type forgetful struct{ *memory.Backend }

func (s forgetful) Commit(ctx context.Context, key string, commit backend.CommitRequest) error {
	err := s.Backend.Commit(ctx, key, commit)
	s.Forget(ctx, key)
	return err
}

// 100,000 keys leave nothing behind, however their calls ended.
func TestManyKeysLeaveNothing(t *testing.T) {
	store := forgetful{memory.New()}
	defer store.Close()
	x, err := idempotency.New(store, idempotency.Options{})
	if err != nil {
		t.Fatal(err)
	}
	errBusy := errors.New("busy")
	charge, err := idempotency.NewOperation(x, idempotency.OperationOptions[int]{IgnoreError: func(err error) bool { return err == errBusy }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	call := func(i int) {
		defer func() { recover() }()
		charge.Run(ctx, fmt.Sprint("key-", i), func(ctx context.Context) (int, error) {
			switch i % 5 {
			case 1:
				return 0, errBusy
			case 2:
				panic("boom")
			case 3:
				<-time.After(0)
				return 0, errors.New("declined")
			case 4:
				_ = ctx.Done()
			}
			return i, nil
		})
	}
	keys := func(from, n int) {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := from + worker; i < from+n; i += 8 {
					call(i)
				}
			})
		}
		wg.Wait()
	}
	const n = 100_000
	keys(0, n/10)
	before := heap()
	keys(n/10, n-n/10)
	if left := x.InFlight(); left != 0 {
		t.Errorf("%d flights, holds or timers are left", left)
	}
	if after := heap(); after > before+n*20 {
		t.Errorf("the heap grew from %d to %d bytes over %d keys", before, after, n)
	}
}

func heap() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
