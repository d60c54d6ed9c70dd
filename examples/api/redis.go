package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// startRedis returns the address of the Redis that the instances share: the one
// at REPRISE_REDIS_ADDR, or an embedded one. Stop ends what was started.
func startRedis(ctx context.Context) (addr string, embedded bool, stop func(), err error) {
	if addr := os.Getenv("REPRISE_REDIS_ADDR"); addr != "" {
		client := newGoRedis(addr)
		defer client.Close()
		if err := client.Ping(ctx).Err(); err != nil {
			return "", false, nil, fmt.Errorf("REPRISE_REDIS_ADDR: %w", err)
		}
		return addr, false, func() {}, nil
	}
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		return "", false, nil, fmt.Errorf("embedded Redis: %w", err)
	}
	// Its clock stands still by itself: no lease would ever end.
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
	return mini.Addr(), true, func() {
		close(end)
		<-ended
		mini.Close()
	}, nil
}
