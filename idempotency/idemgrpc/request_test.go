package idemgrpc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

func TestKeys(t *testing.T) {
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named("ran"), nil
	}}
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{Required: true}))
	a := call(t.Context(), client, "", "a")
	if status.Code(a.err) != codes.InvalidArgument || idemgrpc.Reason(a.err) != idemgrpc.ReasonKeyMissing {
		t.Errorf("%+v", a)
	}
	for name, pairs := range map[string][]string{
		"twice": {"idempotency-key", "a", "idempotency-key", "b"}, "empty": {"idempotency-key", ""},
		"long": {"idempotency-key", strings.Repeat("k", 256)},
	} {
		a := call(t.Context(), client, "", "a", pairs...)
		if status.Code(a.err) != codes.InvalidArgument || idemgrpc.Reason(a.err) != idemgrpc.ReasonKeyMalformed {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if s.count() != 0 {
		t.Errorf("%d runs", s.count())
	}
	if _, err := client.EmptyCall(t.Context(), &testgrpc.Empty{}); err != nil {
		t.Errorf("a method that isn't protected: %v", err)
	}
	stream, err := client.StreamingOutputCall(t.Context(), &testgrpc.StreamingOutputCallRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Errorf("a stream: %v", err)
	}
	if a := call(t.Context(), client, strings.Repeat("k", 255), "a", "who", strings.Repeat("w", 4000)); a.err != nil {
		t.Errorf("the longest key: %v", a.err)
	}
	all := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{Required: true, Methods: []string{allCalls}, MetadataKey: "X-Request-Key"}))
	if _, err := all.EmptyCall(t.Context(), &testgrpc.Empty{}); idemgrpc.Reason(err) != idemgrpc.ReasonKeyMissing {
		t.Errorf("all of a service: %v", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-key", "k")
	if _, err := all.EmptyCall(ctx, &testgrpc.Empty{}); err != nil {
		t.Error(err)
	}
	// Encoded, the two requests are the same.
	if _, err := all.UnaryCall(ctx, &testgrpc.SimpleRequest{}); idemgrpc.Reason(err) != idemgrpc.ReasonKeyReused {
		t.Errorf("another method with the same key: %v", err)
	}
}

func TestScope(t *testing.T) {
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named("ran"), nil
	}}
	for _, test := range []struct {
		scope string
		err   error
		want  codes.Code
	}{
		{"", nil, codes.Internal}, {"", errors.New("secret"), codes.Internal},
		{"", status.Error(codes.Unauthenticated, "who are you?"), codes.Unauthenticated},
	} {
		client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{
			Scope: func(_ context.Context, method string) (string, error) {
				if method != unaryCall {
					t.Errorf("method %q", method)
				}
				return test.scope, test.err
			},
		}))
		if a := call(t.Context(), client, "k", "a"); status.Code(a.err) != test.want || strings.Contains(a.err.Error(), "secret") {
			t.Errorf("%v: %+v", test.err, a)
		}
	}
	if s.count() != 0 {
		t.Errorf("%d runs", s.count())
	}
}

func TestFingerprintOption(t *testing.T) {
	s := &service{unary: func(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
		return named("ran"), nil
	}}
	var failure error
	client := dial(t, serve(t, newExecutor(t, nil, idempotency.Options{}), s, idemgrpc.Options{
		Fingerprint: func(context.Context, string, any) ([]byte, error) { return nil, failure },
	}))
	call(t.Context(), client, "k", "a")
	if a := call(t.Context(), client, "k", "b"); a.err != nil || !a.replayed() {
		t.Errorf("%+v", a)
	}
	failure = errors.New("unreadable")
	if a := call(t.Context(), client, "k2", "b"); status.Code(a.err) != codes.InvalidArgument {
		t.Errorf("%+v", a)
	}
}

func TestOptions(t *testing.T) {
	x := newExecutor(t, nil, idempotency.Options{})
	for want, change := range map[string]func(*idemgrpc.Options){
		"Methods is empty": func(o *idemgrpc.Options) { o.Methods = nil },
		"Methods[0]":       func(o *idemgrpc.Options) { o.Methods = []string{"*"} },
		"Methods[1]":       func(o *idemgrpc.Options) { o.Methods = []string{unaryCall, "grpc.testing.TestService/UnaryCall"} },
		"Scope":            func(o *idemgrpc.Options) { o.Scope = nil },
		"MetadataKey":      func(o *idemgrpc.Options) { o.MetadataKey = "key-bin" },
		"Metadata[0]":      func(o *idemgrpc.Options) { o.Metadata = []string{"Set-Cookie"} },
		"Metadata[1]":      func(o *idemgrpc.Options) { o.Metadata = []string{"ok", "grpc-status"} },
		"WaitTimeout":      func(o *idemgrpc.Options) { o.WaitTimeout = -1 },
		"Retention":        func(o *idemgrpc.Options) { o.Retention = time.Nanosecond },
		"MaxAttempts":      func(o *idemgrpc.Options) { o.MaxAttempts = -1 },
	} {
		options := idemgrpc.Options{Methods: []string{unaryCall}, Scope: idemgrpc.Global}
		change(&options)
		if _, err := idemgrpc.UnaryServerInterceptor(x, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := idemgrpc.UnaryServerInterceptor(nil, idemgrpc.Options{Methods: []string{unaryCall}, Scope: idemgrpc.Global}); err == nil {
		t.Error("a nil executor was taken")
	}
}
