package main

import (
	"context"

	redislib "github.com/redis/go-redis/v9"
)

// ledger is where orders are booked. It stands for a service that isn't
// idempotent: it counts how often each order was booked.
type ledger struct {
	client *redislib.Client
	key    string
}

func (l *ledger) book(ctx context.Context, id string) error {
	return l.client.HIncrBy(ctx, l.key, id, 1).Err()
}

func (l *ledger) has(ctx context.Context, id string) (bool, error) {
	return l.client.HExists(ctx, l.key, id).Result()
}

// all is how often each order was booked.
func (l *ledger) all(ctx context.Context) (map[string]string, error) {
	return l.client.HGetAll(ctx, l.key).Result()
}
