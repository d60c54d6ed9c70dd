package idemgrpc_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

const retries = `{"methodConfig": [{"name": [{"service": "grpc.testing.TestService"}], "retryPolicy": {
	"maxAttempts": 4, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

func TestClientKeepsItsKey(t *testing.T) {
	intercept, err := idemgrpc.UnaryClientInterceptor(idemgrpc.ClientOptions{Methods: []string{unaryCall}})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var keys [][]string
	spy := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		mu.Lock()
		keys = append(keys, metadata.ValueFromIncomingContext(ctx, "idempotency-key"))
		n := len(keys)
		mu.Unlock()
		response, err := handler(ctx, request)
		if n == 1 { // the response gets lost
			return nil, status.Error(codes.Unavailable, "cut")
		}
		return response, err
	}
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named("once"), nil
	}}
	addr := serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{Required: true}, spy)
	client := dial(t, addr, grpc.WithUnaryInterceptor(intercept), grpc.WithDefaultServiceConfig(retries))
	if a := call(t.Context(), client, "", "a"); a.err != nil || a.response.Username != "once" || !a.replayed() || s.count() != 1 {
		t.Errorf("%+v after %d runs", a, s.count())
	}
	if len(keys) != 2 || len(keys[0]) != 1 || len(keys[0][0]) < 20 || !slices.Equal(keys[0], keys[1]) {
		t.Errorf("keys %q", keys)
	}
	call(t.Context(), client, "", "a")
	call(t.Context(), client, "mine", "a")
	call(idemgrpc.WithKey(t.Context(), "by ctx"), client, "", "a")
	call(idemgrpc.WithKey(t.Context(), "by ctx"), client, "mine", "a")
	if len(keys) != 6 || keys[2][0] == keys[0][0] || keys[3][0] != "mine" || keys[4][0] != "by ctx" || !slices.Equal(keys[5], []string{"mine"}) {
		t.Errorf("keys %q", keys)
	}
	if a := call(idemgrpc.WithKey(t.Context(), "a\nb"), client, "", "a"); status.Code(a.err) != codes.InvalidArgument || len(keys) != 6 {
		t.Errorf("%+v", a)
	}
	if _, err := client.EmptyCall(t.Context(), &testgrpc.Empty{}); err != nil || len(keys) != 7 || len(keys[6]) != 0 {
		t.Errorf("a method that isn't listed: %v, %q", err, keys)
	}
}

// gRPC's own retries follow a server that doesn't wait: after as long as it says.
func TestClientRetriesInFlight(t *testing.T) {
	release := make(chan struct{})
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		<-release
		return named("once"), nil
	}}
	var mu sync.Mutex
	refused := 0
	spy := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		response, err := handler(ctx, request)
		mu.Lock()
		defer mu.Unlock()
		if idemgrpc.Reason(err) == idemgrpc.ReasonInProgress {
			if refused++; refused == 1 {
				close(release)
			}
		}
		return response, err
	}
	x := newExecutor(t, nil, idempotency.Options{Lease: 100 * time.Millisecond})
	addr := serve(t, x, s, idemgrpc.Options{NoWait: true}, spy)
	client := dial(t, addr, grpc.WithDefaultServiceConfig(strings.Replace(retries, "UNAVAILABLE", "ABORTED", 1)))
	var wg sync.WaitGroup
	wg.Go(func() { call(t.Context(), client, "k", "a") })
	await(t, "a run", func() bool { return s.count() == 1 })
	a := call(t.Context(), client, "k", "a")
	wg.Wait()
	if a.err != nil || !a.replayed() || s.count() != 1 || refused == 0 {
		t.Errorf("%+v after %d runs and %d refusals", a, s.count(), refused)
	}
}

func TestClientOptions(t *testing.T) {
	for want, options := range map[string]idemgrpc.ClientOptions{
		"Methods[0]": {Methods: []string{"UnaryCall"}}, "MetadataKey": {MetadataKey: "a b"},
	} {
		if _, err := idemgrpc.UnaryClientInterceptor(options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
