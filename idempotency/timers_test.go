package idempotency_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

// watching is a store that looks at the ctx of its commits, as clients do.
type watching struct{ *memory.Backend }

func (s watching) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	stop := context.AfterFunc(ctx, func() {})
	defer stop()
	return s.Backend.Commit(ctx, key, request)
}

// No timer is left behind by calls, however long they took.
func TestTimersAreStopped(t *testing.T) {
	for name, took := range map[string]time.Duration{"short": 0, "a while": time.Second, "renewed": time.Minute} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExecutor(t, watching{newStore(t)}, idempotency.Options{})
				for _, key := range []string{"a", "b"} {
					if err := idempotency.Exec(t.Context(), x, key, func(context.Context) error { time.Sleep(took); return nil }); err != nil {
						t.Fatal(err)
					}
					if n := x.InFlight(); n != 0 {
						t.Errorf("%d flights, holds or timers are left", n)
					}
				}
			})
		})
	}
}

// A ctx that ends calls what was registered with it, once, and nothing that was
// taken back; it starts no goroutine to wait for that.
func TestCommitCtxCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &silentCommit{Backend: newStore(t), called: map[string]int{}}
		x := newExecutor(t, store, idempotency.Options{CommitTimeout: time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(100 * time.Millisecond); cancel() }()
		began := time.Now()
		if err := idempotency.Exec(ctx, x, "k", func(context.Context) error { return nil }); err == nil {
			t.Error("the commit had no answer, and the call none to complain of")
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("returned %v after its ctx had ended", took-100*time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		store.mu.Lock()
		defer store.mu.Unlock()
		if store.called["kept"] != 1 || store.called["stopped"] != 0 || store.called["late"] != 1 {
			t.Errorf("called back: %v", store.called)
		}
	})
}

// silentCommit has its first commit unanswered.
type silentCommit struct {
	*memory.Backend
	sends  int
	mu     sync.Mutex
	called map[string]int
}

func (s *silentCommit) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if s.sends++; s.sends > 1 {
		return s.Backend.Commit(ctx, key, request)
	}
	note := func(name string) func() {
		return func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.called[name]++
		}
	}
	context.AfterFunc(ctx, note("kept"))
	if !context.AfterFunc(ctx, note("stopped"))() {
		note("stopped")()
	}
	<-ctx.Done()
	context.AfterFunc(ctx, note("late"))
	return ctx.Err()
}
