package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

// origins keeps what the observer is told of each call's origin.
type origins struct {
	mu  sync.Mutex
	all []string
}

func (o *origins) StepStart(ctx context.Context, s *idempotency.Step) context.Context {
	if s.Kind == idempotency.StepClaim {
		s.Carrier = []byte("the claim's carrier")
	}
	return ctx
}

func (o *origins) StepEnd(_ context.Context, s *idempotency.Step) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s.Kind == idempotency.StepRun {
		o.all = append(o.all, string(s.Origin))
	}
}

// A call that is refused for good gets its answer from its own flight, which must
// not be used again before the observer has seen where the answer came from.
func TestOriginOfTooManyAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &origins{}
		x := newExecutor(t, newStore(t), idempotency.Options{Observer: seen})
		busy := errors.New("busy")
		o := newOperation(t, x, idempotency.OperationOptions[int]{
			MaxAttempts: 1, IgnoreError: func(err error) bool { return err == busy },
		})
		end := make(chan struct{})
		go o.Run(t.Context(), "k", func(context.Context) (int, error) { <-end; return 0, busy })
		synctest.Wait()
		done := make(chan error, 1)
		go func() {
			_, err := o.Run(t.Context(), "k", mustNotRun[int](t))
			done <- err
		}()
		synctest.Wait()
		close(end)
		if err := <-done; !errors.Is(err, idempotency.ErrTooManyAttempts) {
			t.Fatal(err)
		}
		synctest.Wait()
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if len(seen.all) != 2 || seen.all[1] != "the claim's carrier" {
			t.Errorf("origins %q", seen.all)
		}
	})
}

// slowCommits takes a second for each commit.
type slowCommits struct{ *memory.Backend }

func (s slowCommits) Commit(ctx context.Context, key string, r backend.CommitRequest) error {
	time.Sleep(time.Second)
	return s.Backend.Commit(ctx, key, r)
}

// What a panic in a policy leaves to be ended in the background is a part of what
// Drain waits for.
func TestDrainWaitsForWhatAPanicLeaves(t *testing.T) {
	panics := func(int, error) idempotency.RetentionChoice { panic("policy") }
	for name, options := range map[string]idempotency.OperationOptions[int]{
		"shield": {Shield: true, RetentionFor: panics}, "detach": {Detach: true, RetentionFor: panics},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := slowCommits{newStore(t)}
				x := newExecutor(t, store, idempotency.Options{})
				o := newOperation(t, x, options)
				end := make(chan struct{})
				go func() {
					defer func() { _ = recover() }()
					o.Run(t.Context(), "k", func(context.Context) (int, error) { <-end; return 1, nil })
				}()
				synctest.Wait()
				drained := make(chan error, 1)
				go func() { drained <- x.Drain(t.Context()) }()
				synctest.Wait()
				close(end)
				if err := <-drained; err != nil {
					t.Fatal(err)
				}
				info, err := x.Lookup(t.Context(), "k")
				if err != nil || info.State != backend.Abandoned {
					t.Errorf("after Drain the key is %v, %v", info.State, err)
				}
			})
		})
	}
}
