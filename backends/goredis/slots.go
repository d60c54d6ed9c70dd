package goredis

import (
	"context"
	"fmt"
	"sync"
	"time"

	redislib "github.com/redis/go-redis/v9"
)

// slots is the server's map of slots, for clients that keep theirs to
// themselves.
type slots struct {
	mu    sync.Mutex
	asked time.Time
	known []redislib.ClusterSlot
}

// slotsAge is how old the map may be: long enough not to be asked for with each
// key, short enough for waiters to follow a slot that moves.
const slotsAge = time.Second

// owner is the address of the master that has a slot.
func (s *slots) owner(ctx context.Context, client redislib.UniversalClient, slot int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) > slotsAge {
		known, err := client.ClusterSlots(ctx).Result()
		if err != nil {
			return "", err
		}
		s.known, s.asked = known, time.Now()
	}
	for _, some := range s.known {
		if some.Start <= slot && slot <= some.End && len(some.Nodes) > 0 {
			return some.Nodes[0].Addr, nil
		}
	}
	s.asked = time.Time{}
	return "", fmt.Errorf("goredis: no node has slot %d", slot)
}
