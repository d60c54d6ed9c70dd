package redigo_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
)

// Applications give the backend to idempotency.New; this is what happens below.
func Example() {
	server, err := miniredis.Run() // your Redis
	if err != nil {
		panic(err)
	}
	defer server.Close()

	pool := &redis.Pool{
		MaxIdle: 8,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", server.Addr(), redis.DialConnectTimeout(time.Second))
		},
	}
	defer pool.Close()

	store, err := redigo.New(pool, redigo.Options{})
	if err != nil {
		panic(err)
	}
	defer store.Close()

	ctx := context.Background()
	token := backend.Token{15: 1} // 16 random bytes
	record, err := store.Claim(ctx, "payment-123", backend.ClaimRequest{
		Token: token, Lease: 30 * time.Second, Keep: 24 * time.Hour, Fence: uint64(time.Now().UnixMicro()),
	})
	fmt.Println(record.State, record.Attempt, err)

	err = store.Commit(ctx, "payment-123", backend.CommitRequest{
		Token: token, Ending: backend.Complete, Outcome: []byte("receipt 7"), Retention: 24 * time.Hour,
	})
	fmt.Println(err)

	record, err = store.Fetch(ctx, "payment-123")
	fmt.Println(record.State, string(record.Outcome), err)
	// Output:
	// claimed 1 <nil>
	// <nil>
	// completed receipt 7 <nil>
}
