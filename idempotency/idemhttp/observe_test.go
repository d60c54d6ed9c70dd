package idemhttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type spanKey struct{}

// outcomes is an observer that notes how calls ended, and marks the action's ctx.
type outcomes struct {
	mu  sync.Mutex
	all []idempotency.Outcome
}

func (o *outcomes) StepStart(ctx context.Context, step *idempotency.Step) context.Context {
	if step.Kind == idempotency.StepAction {
		ctx = context.WithValue(ctx, spanKey{}, "span")
	}
	return ctx
}

func (o *outcomes) StepEnd(_ context.Context, step *idempotency.Step) {
	if step.Kind == idempotency.StepRun && step.Operation == "http" {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.all = append(o.all, step.Outcome)
	}
}

func TestObserver(t *testing.T) {
	seen := &outcomes{}
	x := newExecutor(t, newStore(t), idempotency.Options{Observer: seen})
	server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Context().Value(spanKey{}) != "span" {
			t.Error("the handler's ctx isn't the observer's")
		}
		if e, ok := idempotency.ExecutionOf(r.Context()); !ok || e.Key != idemhttp.Key("global", "k") || e.Attempt != 1 || e.Fence == 0 {
			t.Errorf("%+v, %v", e, ok)
		}
	})))
	defer server.Close()
	post(t, server, "k", "")
	post(t, server, "k", "")
	post(t, server, "k", "another")
	want := []idempotency.Outcome{idempotency.Executed, idempotency.Replayed, idempotency.Refused}
	until(t, "three calls ended", func() bool {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		return slices.Equal(seen.all, want)
	})
}

// A record that isn't a response is never run on.
func TestForeignRecord(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	if err := idempotency.Exec(t.Context(), x, idemhttp.Key("global", "k"), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{})(mustNotRun(t)))
	defer server.Close()
	wantProblem(t, post(t, server, "k", ""), http.StatusInternalServerError, idemhttp.CodeUnreadable)
}

// Two middlewares with names of their own don't read each other's responses.
func TestNames(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	one := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{Name: "one"})(write("one")))
	defer one.Close()
	two := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{Name: "two"})(mustNotRun(t)))
	defer two.Close()
	post(t, one, "k", "")
	wantProblem(t, post(t, two, "k", ""), http.StatusUnprocessableEntity, idemhttp.CodeKeyReused)
}
