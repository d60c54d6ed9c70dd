package rivals

import (
	"context"
	"errors"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency"
)

// ByHand is what people have in their code: a lock by bsm/redislock, and the
// receipt beside it. The comments say what goes wrong where.
func ByHand(ctx context.Context, client *redis.Client, locker *redislock.Client, key string,
	charge func(context.Context) ([]byte, error)) ([]byte, error) {
	lock, err := locker.Obtain(ctx, "lock:"+key, 30*time.Second, &redislock.Options{
		RetryStrategy: redislock.LinearBackoff(100 * time.Millisecond), // all who wait poll, and get in one by one
	})
	if err != nil {
		return nil, err
	}
	defer lock.Release(context.WithoutCancel(ctx))

	receipt, err := client.Get(ctx, "receipt:"+key).Bytes()
	if !errors.Is(err, redis.Nil) {
		return receipt, err
	}
	receipt, err = charge(ctx) // takes longer than 30 s: the lock is lost, and somebody else charges, too
	if err != nil {
		return nil, err // isn't kept: the next caller charges again, also after "maybe charged"
	}
	// A crash here, or a caller that has hung up (who thinks of WithoutCancel?): charged, and the next caller charges again.
	// A lock that was lost: this overwrites the receipt of the one who has it now.
	return receipt, client.Set(ctx, "receipt:"+key, receipt, 24*time.Hour).Err()
}

// OpenPayments is the same with Reprise, what is made once: the lock's TTL is the
// lease, which is renewed while charge runs, and the receipt's is the retention.
func OpenPayments(client *redis.Client) (payments *idempotency.Executor, closeStore func() error, err error) {
	store, err := goredis.New(client, goredis.Options{})
	if err != nil {
		return nil, nil, err
	}
	payments, err = idempotency.New(store, idempotency.Options{
		Namespace: "payments", Lease: 30 * time.Second, Retention: 24 * time.Hour,
	})
	return payments, store.Close, err
}

// WithReprise is the same with Reprise, what is done for each payment.
func WithReprise(ctx context.Context, payments *idempotency.Executor, key string,
	charge func(context.Context) ([]byte, error)) ([]byte, error) {
	return idempotency.Run(ctx, payments, key, charge)
}
