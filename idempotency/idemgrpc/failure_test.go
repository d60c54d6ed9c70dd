package idemgrpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

func TestPanics(t *testing.T) {
	catch := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
		defer func() {
			if v := recover(); v != nil {
				err = status.Errorf(codes.DataLoss, "caught %v", v)
			}
		}()
		return handler(ctx, request)
	}
	for name, options := range map[string]idemgrpc.Options{
		"abandoned": {},
		"asked":     {OnAbandoned: idempotency.Fail},
		"recorded": {RetentionFor: func(reply *idemgrpc.Reply, panicked any) idempotency.RetentionChoice {
			if panicked != "boom" || reply != nil {
				t.Errorf("RetentionFor(%v, %v)", reply, panicked)
			}
			return idempotency.Default
		}},
	} {
		s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) { panic("boom") }}
		client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, options, catch))
		first, again := call(t.Context(), client, "k", "a"), call(t.Context(), client, "k", "a")
		if status.Convert(first.err).Message() != "caught boom" {
			t.Errorf("%s: %+v", name, first)
		}
		switch name {
		case "abandoned":
			if s.count() != 2 || status.Code(again.err) != codes.DataLoss {
				t.Errorf("%s: %+v", name, again)
			}
		case "asked":
			if s.count() != 1 || status.Code(again.err) != codes.Internal || idemgrpc.Reason(again.err) != idemgrpc.ReasonUnknown {
				t.Errorf("%s: %+v", name, again)
			}
		case "recorded":
			if s.count() != 1 || status.Code(again.err) != codes.Internal || idemgrpc.Reason(again.err) != idemgrpc.ReasonFailed || strings.Contains(again.err.Error(), "boom") {
				t.Errorf("%s: %+v", name, again)
			}
		}
	}
}

// The lease ends while the handler runs: it is told so, and its client that
// another attempt may have the key.
func TestLeaseLost(t *testing.T) {
	s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), idempotency.ErrLeaseLost) {
			t.Errorf("the ctx ended by %v", context.Cause(ctx))
		}
		return nil, ctx.Err()
	}}
	x := newExecutor(t, nil, idempotency.Options{Lease: 200 * time.Millisecond, MaxHold: 200 * time.Millisecond})
	client := dial(t, serve(t, x, s, idemgrpc.Options{OnAbandoned: idempotency.Fail}))
	a := call(t.Context(), client, "k", "a")
	if status.Code(a.err) != codes.Aborted || idemgrpc.Reason(a.err) != idemgrpc.ReasonLeaseLost || retryInfo(a.err) == 0 {
		t.Errorf("%+v", a)
	}
	if a := call(t.Context(), client, "k", "a"); idemgrpc.Reason(a.err) != idemgrpc.ReasonUnknown || s.count() != 1 {
		t.Errorf("%+v", a)
	}
}

func TestReconcile(t *testing.T) {
	var decision idempotency.Decision[*idemgrpc.Reply]
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return nil, status.Error(codes.DeadlineExceeded, "the bank says nothing")
	}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{
		Reconcile: func(context.Context, idempotency.Abandoned) (idempotency.Decision[*idemgrpc.Reply], error) {
			return decision, nil
		},
	}))
	call(t.Context(), client, "k", "a")
	if a := call(t.Context(), client, "k", "a"); status.Code(a.err) != codes.Unavailable || idemgrpc.Reason(a.err) != idemgrpc.ReasonUnknown || retryInfo(a.err) == 0 {
		t.Errorf("%+v", a)
	}
	decision = idempotency.Answer(&idemgrpc.Reply{Message: named("found")}, nil)
	for range 2 {
		if a := call(t.Context(), client, "k", "a"); a.err != nil || a.response.Username != "found" || !a.replayed() {
			t.Errorf("%+v", a)
		}
	}
	if s.count() != 1 {
		t.Errorf("%d runs", s.count())
	}
}

func TestStoreDown(t *testing.T) {
	down := func(faults.Call) faults.Fault { return faults.Fail(backend.ErrPermanent) }
	store := memory.New()
	defer store.Close()
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named("ran"), nil
	}}
	injector := faults.NewInjector(down)
	defer injector.Close()
	client := dial(t, serve(t, newExecutor(t, injector.Wrap(store), idempotency.Options{}), s, idemgrpc.Options{}))
	a := call(t.Context(), client, "secret-key", "a")
	if status.Code(a.err) != codes.Unavailable || idemgrpc.Reason(a.err) != idemgrpc.ReasonStoreDown || retryInfo(a.err) == 0 || s.count() != 0 {
		t.Errorf("%+v", a)
	}
	if strings.Contains(a.err.Error(), "secret-key") || strings.Contains(a.err.Error(), backend.ErrPermanent.Error()) {
		t.Errorf("shows too much: %v", a.err)
	}
	open := dial(t, serve(t, newExecutor(t, injector.Wrap(store), idempotency.Options{FailOpen: true}), s, idemgrpc.Options{}))
	if a := call(t.Context(), open, "k", "a"); a.err != nil || len(a.header["idempotency-unprotected"]) != 1 {
		t.Errorf("%+v", a)
	}
	commits := faults.NewInjector(func(c faults.Call) faults.Fault {
		if c.Verb == faults.Commit {
			return faults.Fail(backend.ErrPermanent)
		}
		return faults.None
	})
	defer commits.Close()
	after := dial(t, serve(t, newExecutor(t, commits.Wrap(store), idempotency.Options{}), s, idemgrpc.Options{}))
	if a := call(t.Context(), after, "unrecorded", "a"); a.err != nil || a.response.Username != "ran" || a.replayed() {
		t.Errorf("%+v", a)
	}
}

// A response that is too large goes to its own client, and the call never runs
// again.
func TestNotKept(t *testing.T) {
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named(strings.Repeat("x", 2000)), nil
	}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{MaxPayload: 1000}), s, idemgrpc.Options{}))
	if a := call(t.Context(), client, "k", "a"); a.err != nil || len(a.response.Username) != 2000 {
		t.Errorf("%+v", a)
	}
	if a := call(t.Context(), client, "k", "a"); status.Code(a.err) != codes.Internal || idemgrpc.Reason(a.err) != idemgrpc.ReasonNotKept || s.count() != 1 {
		t.Errorf("%+v after %d runs", a, s.count())
	}
}
