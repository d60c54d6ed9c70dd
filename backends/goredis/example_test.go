package goredis_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency"
)

func Example() {
	server, err := miniredis.Run() // your Redis
	if err != nil {
		panic(err)
	}
	defer server.Close()
	client := redislib.NewClient(&redislib.Options{Addr: server.Addr()})
	defer client.Close()

	store, err := goredis.New(client, goredis.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close() // before the client
	payments, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
	if err != nil {
		panic(err)
	}
	for range 2 {
		receipt, err := idempotency.Run(context.Background(), payments, "payment-123",
			func(ctx context.Context) (string, error) {
				fmt.Println("charging")
				return "receipt 7", nil
			})
		fmt.Println(receipt, err)
	}
	// Output:
	// charging
	// receipt 7 <nil>
	// receipt 7 <nil>
}
