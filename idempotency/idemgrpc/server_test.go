package idemgrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

func TestReplay(t *testing.T) {
	store := memory.New()
	defer store.Close()
	s := &service{}
	s.unary = func(ctx context.Context, request *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		e, ok := idempotency.ExecutionOf(ctx)
		if !ok || e.Operation != "grpc" || e.Attempt != 1 || e.Fence == 0 {
			t.Errorf("%+v", e)
		}
		if method, ok := grpc.Method(ctx); !ok || method != unaryCall {
			t.Errorf("method %q", method)
		}
		return &testgrpc.SimpleResponse{Payload: request.Payload, Username: "ran"}, nil
	}
	var clients []testgrpc.TestServiceClient
	for range 2 { // two processes
		clients = append(clients, dial(t, serve(t, newExecutor(t, store, idempotency.Options{}), s, idemgrpc.Options{})))
	}
	first := call(t.Context(), clients[0], "k", "a")
	if first.err != nil || first.replayed() {
		t.Fatalf("%+v", first)
	}
	for _, client := range clients {
		again := call(t.Context(), client, "k", "a")
		if again.err != nil || !again.replayed() || !proto.Equal(again.response, first.response) {
			t.Errorf("%+v", again)
		}
		other := call(t.Context(), client, "k", "b")
		if status.Code(other.err) != codes.FailedPrecondition || idemgrpc.Reason(other.err) != idemgrpc.ReasonKeyReused || other.replayed() {
			t.Errorf("%+v", other)
		}
	}
	if s.count() != 1 {
		t.Errorf("%d runs", s.count())
	}
	if a := call(t.Context(), clients[0], "k", "a", "who", "somebody else"); a.err != nil || a.replayed() || s.count() != 2 {
		t.Errorf("another client: %+v", a)
	}
	s.unary = func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		if _, protected := idempotency.ExecutionOf(ctx); protected {
			t.Error("a call without a key is protected")
		}
		return named("unprotected"), nil
	}
	for range 2 {
		if a := call(t.Context(), clients[0], "", "a"); a.err != nil || a.replayed() || a.response.Username != "unprotected" {
			t.Errorf("%+v", a)
		}
	}
}

func TestStatuses(t *testing.T) {
	detailed, err := status.New(codes.FailedPrecondition, "card expired").WithDetails(durationpb.New(5), &testgrpc.Payload{Body: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		err  error
		code codes.Code
		runs int // of two calls
	}{
		{detailed.Err(), codes.FailedPrecondition, 1},
		{fmt.Errorf("charge: %w", detailed.Err()), codes.FailedPrecondition, 1},
		{status.Error(codes.NotFound, "no such order"), codes.NotFound, 1},
		{status.Error(codes.Internal, "broken"), codes.Internal, 1},
		{status.Error(codes.Code(77), "of the future"), codes.Code(77), 1},
		{errors.New("no status"), codes.Unknown, 1},
		{status.Error(codes.Unavailable, "later"), codes.Unavailable, 2},
		{status.Error(codes.ResourceExhausted, "later"), codes.ResourceExhausted, 2},
		{status.Error(codes.Aborted, "later"), codes.Aborted, 2},
		{status.Error(codes.Canceled, "gone"), codes.Canceled, 2},
		{context.DeadlineExceeded, codes.DeadlineExceeded, 2},
	} {
		t.Run(fmt.Sprint(test.err), func(t *testing.T) {
			s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				_ = grpc.SetTrailer(ctx, metadata.Pairs("kept", "1", "lost", "2"))
				return nil, test.err
			}}
			client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{Metadata: []string{"Kept"}}))
			first := call(t.Context(), client, "k", "a")
			again := call(t.Context(), client, "k", "a")
			if status.Code(first.err) != test.code || !proto.Equal(status.Convert(first.err).Proto(), status.Convert(again.err).Proto()) {
				t.Errorf("first %v, again %v", status.Convert(first.err).Proto(), status.Convert(again.err).Proto())
			}
			if want, ok := status.FromError(test.err); ok && !proto.Equal(status.Convert(first.err).Proto(), want.Proto()) {
				t.Errorf("the handler's %v became %v", want.Proto(), status.Convert(first.err).Proto())
			}
			if s.count() != test.runs || again.replayed() != (test.runs == 1) || first.replayed() {
				t.Errorf("%d runs, replayed %v", s.count(), again.replayed())
			}
			if idemgrpc.Reason(first.err) != "" {
				t.Error("a status of the handler's has our reason")
			}
			if len(first.trailer["lost"]) != 1 || len(again.trailer["kept"]) != 1 || len(again.trailer["lost"]) != test.runs-1 {
				t.Errorf("trailers %v, %v", first.trailer, again.trailer)
			}
		})
	}
}

// Whom the handler called may have done it all the same.
func TestUnavailableMayHaveHadAnEffect(t *testing.T) {
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return nil, status.Error(codes.Unavailable, "connection reset")
	}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{OnAbandoned: idempotency.Fail}))
	call(t.Context(), client, "k", "a")
	if again := call(t.Context(), client, "k", "a"); idemgrpc.Reason(again.err) != idemgrpc.ReasonUnknown || s.count() != 1 {
		t.Errorf("%v after %d runs", again.err, s.count())
	}
}

func TestMetadataOfTheHandler(t *testing.T) {
	s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs("kept", "1", "session", "secret"))
		if err := grpc.SendHeader(ctx, metadata.Pairs("kept", "2", "raw-bin", "\x00\xff")); err != nil {
			t.Error(err)
		}
		if grpc.SetHeader(ctx, metadata.Pairs("late", "1")) == nil || grpc.SendHeader(ctx, nil) == nil {
			t.Error("a header was taken after it was sent")
		}
		return named("x"), grpc.SetTrailer(ctx, metadata.Pairs("cost", "5"))
	}}
	options := idemgrpc.Options{Metadata: []string{"kept", "raw-bin", "cost"}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, options))
	first, again := call(t.Context(), client, "k", ""), call(t.Context(), client, "k", "")
	for _, a := range []answer{first, again} {
		if a.err != nil || strings.Join(a.header["kept"], ",") != "1,2" || a.header["raw-bin"][0] != "\x00\xff" || a.trailer["cost"][0] != "5" {
			t.Errorf("%+v", a)
		}
	}
	if len(first.header["session"]) != 1 || len(again.header["session"]) != 0 {
		t.Errorf("session: %v, %v", first.header, again.header)
	}
}

func TestConcurrentCallsWait(t *testing.T) {
	release := make(chan struct{})
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		<-release
		return named("one"), nil
	}}
	store := memory.New()
	defer store.Close()
	var clients []testgrpc.TestServiceClient
	for range 2 {
		clients = append(clients, dial(t, serve(t, newExecutor(t, store, idempotency.Options{}), s, idemgrpc.Options{})))
	}
	answers := make([]answer, 10)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = call(t.Context(), clients[i%2], "k", "a") })
	}
	await(t, "a run", func() bool { return s.count() == 1 })
	if a := call(t.Context(), clients[1], "k", "b"); status.Code(a.err) != codes.FailedPrecondition {
		t.Errorf("another request in flight: %+v", a)
	}
	close(release)
	wg.Wait()
	replayed := 0
	for _, a := range answers {
		if a.err != nil || a.response.Username != "one" {
			t.Errorf("%+v", a)
		}
		if a.replayed() {
			replayed++
		}
	}
	if replayed != len(answers)-1 || s.count() != 1 {
		t.Errorf("%d replayed, %d runs", replayed, s.count())
	}
}

func TestInProgress(t *testing.T) {
	for name, options := range map[string]idemgrpc.Options{
		"NoWait": {NoWait: true}, "WaitTimeout": {WaitTimeout: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-release
				return named("one"), nil
			}}
			client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, options))
			var wg sync.WaitGroup
			wg.Go(func() { call(t.Context(), client, "k", "a") })
			await(t, "a run", func() bool { return s.count() == 1 })
			a := call(t.Context(), client, "k", "a")
			close(release)
			wg.Wait()
			if status.Code(a.err) != codes.Aborted || idemgrpc.Reason(a.err) != idemgrpc.ReasonInProgress {
				t.Fatalf("%+v", a)
			}
			if d := retryInfo(a.err); d <= 0 || d > 30*time.Second || len(a.trailer["grpc-retry-pushback-ms"]) != 1 {
				t.Errorf("retry after %v, trailer %v", d, a.trailer)
			}
		})
	}
}

func retryInfo(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.RetryDelay.AsDuration()
		}
	}
	return 0
}

// The client leaves while the handler runs: that finishes, and the retry gets its
// response.
func TestClientLeaves(t *testing.T) {
	for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": context.WithCancel,
		"deadline exceeded": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			s := &service{unary: func(ctx context.Context, _ *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
				<-release
				return named("finished"), ctx.Err()
			}}
			client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{}))
			ctx, cancel := leave(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				if a := call(ctx, client, "k", "a"); status.Code(a.err) != codes.Canceled && status.Code(a.err) != codes.DeadlineExceeded {
					t.Errorf("%+v", a)
				}
			})
			await(t, "a run", func() bool { return s.count() == 1 })
			if name == "cancelled" {
				cancel()
			}
			wg.Wait()
			close(release)
			a := call(t.Context(), client, "k", "a")
			if a.err != nil || a.response.Username != "finished" || !a.replayed() || s.count() != 1 {
				t.Errorf("%+v after %d runs", a, s.count())
			}
		})
	}
}

// One that only waits leaves without a trace.
func TestWaiterLeaves(t *testing.T) {
	release := make(chan struct{})
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		<-release
		return named("one"), nil
	}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{}))
	var wg sync.WaitGroup
	wg.Go(func() {
		if a := call(t.Context(), client, "k", "a"); a.err != nil {
			t.Error(a.err)
		}
	})
	await(t, "a run", func() bool { return s.count() == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if a := call(ctx, client, "k", "a"); status.Code(a.err) != codes.DeadlineExceeded {
		t.Errorf("%+v", a)
	}
	close(release)
	wg.Wait()
}
