package faults_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// spy notes what it is asked and answers the same record always.
type spy struct {
	mu     sync.Mutex
	calls  []string
	claims []backend.ClaimRequest
	record backend.Record
}

func (s *spy) note(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
}

func (s *spy) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *spy) Claim(_ context.Context, _ string, r backend.ClaimRequest) (backend.Record, error) {
	s.note("Claim")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims = append(s.claims, r)
	return s.record, nil
}

func (s *spy) Commit(_ context.Context, _ string, r backend.CommitRequest) error {
	s.note(r.Ending.String())
	return nil
}

func (s *spy) Wait(ctx context.Context, _ string, _ backend.Token) (backend.Record, error) {
	s.note("Wait")
	return s.record, ctx.Err()
}

func (s *spy) Fetch(context.Context, string) (backend.Record, error) {
	s.note("Fetch")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, nil
}

type forgettingSpy struct{ *spy }

func (s forgettingSpy) Forget(context.Context, string) error { s.note("Forget"); return nil }

type closingSpy struct{ *spy }

func (s closingSpy) Close() error { s.note("Close"); return nil }

type fullSpy struct {
	*spy
	forgettingSpy2
	closingSpy2
}
type (
	forgettingSpy2 struct{ s *spy }
	closingSpy2    struct{ s *spy }
)

func (f forgettingSpy2) Forget(context.Context, string) error { f.s.note("Forget"); return nil }
func (f closingSpy2) Close() error                            { f.s.note("Close"); return nil }

func TestInjectorKeepsOptionalInterfaces(t *testing.T) {
	s := &spy{}
	for _, store := range []backend.Backend{s, forgettingSpy{s}, closingSpy{s}, fullSpy{s, forgettingSpy2{s}, closingSpy2{s}}} {
		i := faults.NewInjector(nil)
		w := i.Wrap(store)
		_, forgets := store.(backend.Forgetter)
		forgetter, ok := w.(backend.Forgetter)
		if ok != forgets {
			t.Errorf("%T: wrapped is a Forgetter: %v, want %v", store, ok, forgets)
		}
		if ok {
			if err := forgetter.Forget(t.Context(), "k"); err != nil || i.Count(faults.Forget) != 1 {
				t.Errorf("Forget: %v, counted %d", err, i.Count(faults.Forget))
			}
		}
		_, closes := store.(io.Closer)
		closer, ok := w.(io.Closer)
		if ok != closes {
			t.Errorf("%T: wrapped is a Closer: %v, want %v", store, ok, closes)
		}
		if ok {
			if err := errors.Join(closer.Close(), closer.Close()); err != nil {
				t.Error(err)
			}
		}
	}
	if got := s.heard(); !slices.Equal(got, []string{"Forget", "Close", "Close", "Forget", "Close", "Close"}) {
		t.Errorf("called through: %v", got)
	}
}

func TestInjectorFaults(t *testing.T) {
	s := &spy{record: backend.Record{State: backend.Claimed, Fence: 3, LeaseLeft: time.Hour}}
	i := faults.NewInjector(func(c faults.Call) faults.Fault {
		if c.Key == "refused" {
			return faults.Fail(backend.ErrPermanent)
		}
		return faults.None
	})
	defer i.Close()
	store := i.Wrap(s)
	ctx := t.Context()

	i.OnNth(faults.Of(faults.Claim), 2, faults.LoseReply)
	if r, err := store.Claim(ctx, "k", backend.ClaimRequest{}); err != nil || r.Fence != 3 {
		t.Errorf("first claim: %v, %v", r, err)
	}
	r, err := store.Claim(ctx, "k", backend.ClaimRequest{})
	if !errors.Is(err, faults.ErrUnknownOutcome) || errors.Is(err, backend.ErrNotApplied) || r.Fence != 0 {
		t.Errorf("lost reply: %v, %v", r, err)
	}
	i.OnNth(faults.OfEnding(backend.Complete), 1, faults.NotApplied)
	if err := store.Commit(ctx, "k", backend.CommitRequest{Ending: backend.Release}); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := store.Commit(ctx, "k", backend.CommitRequest{Ending: backend.Complete}); !errors.Is(err, backend.ErrNotApplied) {
		t.Errorf("not applied: %v", err)
	}
	if _, err := store.Fetch(ctx, "refused"); !errors.Is(err, backend.ErrPermanent) {
		t.Errorf("refused: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	i.OnNth(faults.Of(faults.Wait), 1, faults.Delay(time.Hour))
	if _, err := store.Wait(ended, "k", backend.Token{}); !errors.Is(err, context.Canceled) {
		t.Errorf("delayed past its ctx: %v", err)
	}
	i.OnNth(faults.Of(faults.Fetch), 1, faults.Delay(time.Microsecond))
	if r, err := store.Fetch(ctx, "k"); err != nil || r.Fence != 3 {
		t.Errorf("delayed: %v, %v", r, err)
	}
	if got := s.heard(); !slices.Equal(got, []string{"Claim", "Claim", "release", "Fetch"}) {
		t.Errorf("called through: %v", got)
	}
	if n := i.Count(faults.Commit); n != 2 {
		t.Errorf("counted %d commits, want 2", n)
	}
}

func TestInjectorLateCall(t *testing.T) {
	s := &spy{}
	i := faults.NewInjector(nil)
	defer i.Close()
	store := i.Wrap(s)
	i.OnNth(faults.Of(faults.Claim), 1, faults.LateCall(0))
	ctx, cancel := context.WithCancel(t.Context())
	metadata := []byte("as sent")
	if _, err := store.Claim(ctx, "k", backend.ClaimRequest{Metadata: metadata}); !errors.Is(err, faults.ErrUnknownOutcome) {
		t.Errorf("late claim: %v", err)
	}
	cancel()
	copy(metadata, "reused!")
	if err := store.Commit(t.Context(), "k", backend.CommitRequest{Ending: backend.Release}); err != nil {
		t.Error(err)
	}
	i.DeliverLate()
	if got := s.heard(); !slices.Equal(got, []string{"release", "Claim"}) {
		t.Errorf("called through: %v", got)
	}
	if got := string(s.claims[0].Metadata); got != "as sent" {
		t.Errorf("the late claim carried %q", got)
	}

	i.OnNth(faults.Of(faults.Fetch), 1, faults.LateCall(0))
	if _, err := store.Fetch(t.Context(), "k"); !errors.Is(err, faults.ErrUnknownOutcome) {
		t.Errorf("late fetch: %v", err)
	}
	i.OnNth(faults.Of(faults.Commit), 1, faults.LateCall(time.Hour))
	_ = store.Commit(t.Context(), "k", backend.CommitRequest{Ending: backend.Complete})
	i.Close()
	if got := s.heard(); len(got) != 2 {
		t.Errorf("Close delivered what was held back: %v", got)
	}
}

func TestInjectorDropWakeups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := backend.Token{1}
		s := &spy{record: backend.Record{State: backend.Claimed, Token: token, LeaseLeft: 30 * time.Second}}
		i := faults.NewInjector(func(faults.Call) faults.Fault { return faults.DropWakeups })
		store := i.Wrap(closingSpy{s})
		start := time.Now()
		time.AfterFunc(time.Second, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.record = backend.Record{State: backend.Completed}
		})
		r, err := store.Wait(t.Context(), "k", token)
		if err != nil || r.State != backend.Completed {
			t.Errorf("got %v, %v", r, err)
		}
		if took := time.Since(start); took != backend.MaxSleep {
			t.Errorf("looked again after %v, want %v", took, backend.MaxSleep)
		}

		s.record = backend.Record{State: backend.Claimed, Token: token, LeaseLeft: 30 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := store.Wait(ctx, "k", token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past its ctx: %v", err)
		}
		time.AfterFunc(time.Second, func() { store.(io.Closer).Close() })
		if _, err := store.Wait(t.Context(), "k", token); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := store.Wait(t.Context(), "k", backend.Token{}); err != nil {
			t.Errorf("zero token: %v", err)
		}
	})
}

func TestInjectorScriptTurns(t *testing.T) {
	i := faults.NewInjector(nil)
	defer i.Close()
	store := i.Wrap(&spy{})
	i.OnNth(nil, 1, faults.NotApplied)
	i.OnNth(nil, 1, faults.LoseReply)
	for n, want := range []error{backend.ErrNotApplied, faults.ErrUnknownOutcome, nil} {
		if _, err := store.Fetch(t.Context(), "k"); !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", n+1, err, want)
		}
	}
}
