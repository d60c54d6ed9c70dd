package linearizability_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/conformance/linearizability"
	"github.com/reprise-go/reprise/idempotency"
)

// TestExecutorsHistories records what executors ask of a store that loses
// replies, while they run the same keys in several processes.
func TestExecutorsHistories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := linearizability.NewRecorder(t, linearizability.Options{})
		injector := faults.NewInjector(nil)
		defer injector.Close()
		for n := 3; n < 40; n += 7 {
			injector.OnNth(nil, n, faults.LoseReply)
		}
		store := memory.New()
		defer store.Close()
		var processes sync.WaitGroup
		for range 4 {
			executor, err := idempotency.New(recorder.Wrap(injector.Wrap(store)), idempotency.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range 8 {
				processes.Go(func() {
					got, err := idempotency.Run(t.Context(), executor, fmt.Sprint(i), func(context.Context) (int, error) {
						time.Sleep(40 * time.Second)
						return i, nil
					})
					if err != nil || got != i {
						t.Errorf("key %d: %d, %v", i, got, err)
					}
				})
			}
		}
		processes.Wait()
		if report := recorder.Verify(t); report.Keys != 8 || report.Operations < 32 || report.Unknown == 0 {
			t.Error(report)
		}
	})
}

// TestACallThatHasntReturned is seen as one that may have been applied.
func TestACallThatHasntReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := linearizability.NewRecorder(t, linearizability.Options{})
		injector := faults.NewInjector(nil)
		defer injector.Close()
		store := memory.New()
		defer store.Close()
		slow, quick := recorder.Wrap(applied{store, time.Minute}), recorder.Wrap(store)
		request := backend.ClaimRequest{Token: backend.Token{1}, Lease: time.Hour, Keep: time.Hour}
		go slow.Claim(t.Context(), "key", request)
		synctest.Wait()
		request.Token = backend.Token{2}
		if r, err := quick.Claim(t.Context(), "key", request); err != nil || r.Token != (backend.Token{1}) {
			t.Fatal(r, err)
		}
		recorder.Verify(t)
		time.Sleep(2 * time.Minute)
	})
}

// applied answers long after the store has.
type applied struct {
	backend.Backend
	late time.Duration
}

func (a applied) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	defer time.Sleep(a.late)
	return a.Backend.Claim(ctx, key, request)
}

// TestWhatTheRecorderFinds fails the test that it is given, and names the call.
func TestWhatTheRecorderFinds(t *testing.T) {
	l := &listener{TB: t}
	recorder := linearizability.NewRecorder(l, linearizability.Options{Dir: t.TempDir()})
	store := memory.New()
	defer store.Close()
	w := recorder.Wrap(forgetful{store})
	token := backend.Token{1}
	if _, err := w.Claim(t.Context(), "key", backend.ClaimRequest{Token: token, Lease: time.Hour, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fetch(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	recorder.Verify(l)
	if said := l.said(); !strings.Contains(said, "fetch → unknown key") || !strings.Contains(said, "claimed by A") {
		t.Error(said)
	}
}

type forgetful struct{ backend.Backend }

func (forgetful) Fetch(context.Context, string) (backend.Record, error) { return backend.Record{}, nil }

// TestErrorsThatNobodyDeserves are failures of their own, though they say that
// nothing was changed.
func TestErrorsThatNobodyDeserves(t *testing.T) {
	for _, err := range []error{backend.ErrCorrupt, backend.ErrInvalid, backend.ErrPermanent, backend.ErrTooLarge} {
		l := &listener{TB: t}
		recorder := linearizability.NewRecorder(l, linearizability.Options{})
		w := recorder.Wrap(failing{err: err})
		_, _ = w.Fetch(t.Context(), "key")
		recorder.Verify(l)
		if !strings.Contains(l.said(), err.Error()) {
			t.Errorf("%v: it says %q", err, l.said())
		}
	}
	l := &listener{TB: t}
	recorder := linearizability.NewRecorder(l, linearizability.Options{})
	w := recorder.Wrap(failing{err: errors.New("reset")})
	_, _ = w.Fetch(t.Context(), "key")
	recorder.Verify(l)
	if l.said() != "" {
		t.Errorf("an error that says nothing: %s", l.said())
	}
}

type failing struct {
	backend.Backend
	err error
}

func (f failing) Fetch(context.Context, string) (backend.Record, error) {
	return backend.Record{}, f.err
}
