package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// startRedis returns the address of the Redis that the workers share: the one at
// REPRISE_REDIS_ADDR, or an embedded one; how says which. Stop ends what was
// started.
func startRedis(ctx context.Context) (addr, how string, stop func(), err error) {
	if addr := os.Getenv("REPRISE_REDIS_ADDR"); addr != "" {
		client := newRedisClient(addr)
		defer client.Close()
		if err := client.Ping(ctx).Err(); err != nil {
			return "", "", nil, fmt.Errorf("REPRISE_REDIS_ADDR: %w", err)
		}
		return addr, "the Redis at " + addr, func() {}, nil
	}
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		return "", "", nil, fmt.Errorf("embedded Redis: %w", err)
	}
	stopClock := followRealTime(mini)
	return mini.Addr(), "an embedded Redis", func() {
		stopClock()
		mini.Close()
	}, nil
}

// followRealTime moves the clock by which the embedded server's keys expire, which
// stands still by itself: no lease would ever end.
func followRealTime(mini *miniredis.Miniredis) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case now := <-ticker.C:
				mini.FastForward(now.Sub(last))
				last = now
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

func newRedisClient(addr string) *redislib.Client {
	return redislib.NewClient(&redislib.Options{
		Addr: addr,
		// A command ends with its ctx: XREADGROUP blocks.
		ContextTimeoutEnabled: true,
		// Only Redis Enterprise has these; elsewhere the client logs that it hasn't.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
