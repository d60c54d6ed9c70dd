package idemgrpc_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	unaryCall = "/grpc.testing.TestService/UnaryCall"
	allCalls  = "/grpc.testing.TestService/*"
)

// service answers by a function of the test's.
type service struct {
	testgrpc.UnimplementedTestServiceServer
	unary func(ctx context.Context, request *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error)

	mu   sync.Mutex
	runs int
}

func (s *service) UnaryCall(ctx context.Context, request *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	s.mu.Lock()
	s.runs++
	s.mu.Unlock()
	return s.unary(ctx, request)
}

func (s *service) EmptyCall(context.Context, *testgrpc.Empty) (*testgrpc.Empty, error) {
	return &testgrpc.Empty{}, nil
}

func (s *service) StreamingOutputCall(_ *testgrpc.StreamingOutputCallRequest, stream testgrpc.TestService_StreamingOutputCallServer) error {
	return stream.Send(&testgrpc.StreamingOutputCallResponse{})
}

func (s *service) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

func named(name string) *testgrpc.SimpleResponse { return &testgrpc.SimpleResponse{Username: name} }

func newExecutor(t *testing.T, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	t.Helper()
	if store == nil {
		s := memory.New()
		t.Cleanup(func() { s.Close() })
		store = s
	}
	x, err := idempotency.New(store, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := x.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return x
}

// serve starts an instance of the service on a port of the loopback interface.
func serve(t *testing.T, x *idempotency.Executor, s *service, options idemgrpc.Options, outer ...grpc.UnaryServerInterceptor) (addr string) {
	t.Helper()
	if options.Methods == nil {
		options.Methods = []string{unaryCall}
	}
	if options.Scope == nil {
		options.Scope = func(ctx context.Context, _ string) (string, error) {
			if who := metadata.ValueFromIncomingContext(ctx, "who"); len(who) == 1 {
				return who[0], nil
			}
			return "somebody", nil
		}
	}
	protect, err := idemgrpc.UnaryServerInterceptor(x, options)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(append(outer, protect)...), grpc.WaitForHandlers(true))
	testgrpc.RegisterTestServiceServer(server, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

func dial(t *testing.T, addr string, options ...grpc.DialOption) testgrpc.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return testgrpc.NewTestServiceClient(conn)
}

// answer is what a client got.
type answer struct {
	response        *testgrpc.SimpleResponse
	err             error
	header, trailer metadata.MD
}

func (a answer) replayed() bool { return len(a.header.Get("idempotency-replayed")) == 1 }

// call calls with a key; pairs are more metadata.
func call(ctx context.Context, client testgrpc.TestServiceClient, key, body string, pairs ...string) (a answer) {
	if key != "" {
		pairs = append(pairs, "idempotency-key", key)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	a.response, a.err = client.UnaryCall(ctx, &testgrpc.SimpleRequest{Payload: &testgrpc.Payload{Body: []byte(body)}},
		grpc.Header(&a.header), grpc.Trailer(&a.trailer))
	return a
}

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
