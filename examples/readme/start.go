package readme

import (
	"context"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency"
)

// Receipt is the answer of the payment in the README.
type Receipt struct {
	ID       string
	Amount   int64
	Replayed bool
}

// Start is the beginning.
func Start(ctx context.Context, redisClient redislib.UniversalClient, chargeCustomer func(context.Context) (Receipt, error)) error {
	store, err := goredis.New(redisClient, goredis.Options{}) // the Redis client that your app already has
	if err != nil {
		return err
	}
	defer store.Close()
	payments, err := idempotency.New(store, idempotency.Options{Namespace: "payments"})
	if err != nil {
		return err
	}
	receipt, err := idempotency.Run(ctx, payments, "payment-123", func(ctx context.Context) (Receipt, error) {
		return chargeCustomer(ctx)
	})
	_ = receipt
	return err
}

// Execution is what an action learns of itself.
func Execution(ctx context.Context) idempotency.Execution {
	execution, _ := idempotency.ExecutionOf(ctx) // in the action: Key, Operation, Attempt, Fence
	return execution
}
