package redistest

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Mini starts a miniredis, which expires nothing by itself: only its FastForward
// moves its clock, see [Tick].
func Mini(tb testing.TB) *miniredis.Miniredis {
	tb.Helper()
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		tb.Fatalf("redistest: miniredis: %v", err)
	}
	tb.Cleanup(mini.Close)
	return mini
}

// Tick makes the miniredis' clock follow real time until the test ends.
func Tick(tb testing.TB, mini *miniredis.Miniredis) {
	tb.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		last := time.Now()
		for {
			select {
			case now := <-ticker.C:
				mini.FastForward(now.Sub(last))
				last = now
			case <-done:
				return
			}
		}
	}()
	tb.Cleanup(func() {
		close(done)
		<-stopped
	})
}
