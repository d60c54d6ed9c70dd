// Package embedded is the Redis of the examples: one inside the program, so that
// a newcomer needs no server, or the one at REPRISE_REDIS_ADDR.
package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Server is a Redis.
type Server struct {
	Addr     string
	Embedded bool // it was started here
	stop     func()
}

// Redis starts an embedded Redis, or finds the one at REPRISE_REDIS_ADDR.
func Redis(ctx context.Context) (*Server, error) {
	if addr := os.Getenv("REPRISE_REDIS_ADDR"); addr != "" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("REPRISE_REDIS_ADDR: %w", err)
		}
		return &Server{Addr: addr, stop: func() {}}, conn.Close()
	}
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("embedded Redis: %w", err)
	}
	stopClock := FollowRealTime(mini, 10*time.Millisecond)
	return &Server{Addr: mini.Addr(), Embedded: true, stop: func() {
		stopClock()
		mini.Close()
	}}, nil
}

// Stop ends a server that was started here.
func (s *Server) Stop() { s.stop() }

// String says which server it is.
func (s *Server) String() string {
	if s.Embedded {
		return "an embedded Redis"
	}
	return "the Redis at " + s.Addr
}

// FollowRealTime moves the server's clock, which stands still by itself, at each
// tick: otherwise no lease would ever end.
func FollowRealTime(mini *miniredis.Miniredis, tick time.Duration) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(tick)
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
