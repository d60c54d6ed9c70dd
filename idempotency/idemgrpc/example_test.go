package idemgrpc_test

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

type payments struct {
	testgrpc.UnimplementedTestServiceServer
}

func (payments) UnaryCall(context.Context, *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	fmt.Println("charging the card")
	return &testgrpc.SimpleResponse{Username: "receipt 1"}, nil
}

func Example() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	store := memory.New()
	defer store.Close()
	executor, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
	must(err)
	protect, err := idemgrpc.UnaryServerInterceptor(executor, idemgrpc.Options{
		Methods:  []string{"/grpc.testing.TestService/UnaryCall"},
		Scope:    idemgrpc.Global, // in an API with several clients: who is calling
		Required: true,
	})
	must(err)
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(protect))
	testgrpc.RegisterTestServiceServer(server, payments{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()

	withKeys, err := idemgrpc.UnaryClientInterceptor(idemgrpc.ClientOptions{})
	must(err)
	conn, err := grpc.NewClient(listener.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(withKeys))
	must(err)
	client := testgrpc.NewTestServiceClient(conn)
	for range 2 {
		var header metadata.MD
		ctx := idemgrpc.WithKey(context.Background(), "payment-123")
		response, err := client.UnaryCall(ctx, &testgrpc.SimpleRequest{}, grpc.Header(&header))
		fmt.Println(response.GetUsername(), err, "replayed:", len(header["idempotency-replayed"]) > 0)
	}
	must(conn.Close())
	server.GracefulStop()
	must(<-done)
	// Output:
	// charging the card
	// receipt 1 <nil> replayed: false
	// receipt 1 <nil> replayed: true
}
