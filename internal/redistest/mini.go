package redistest

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/reprise-go/reprise/internal/embedded"
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
	tb.Cleanup(embedded.FollowRealTime(mini, 5*time.Millisecond))
}
