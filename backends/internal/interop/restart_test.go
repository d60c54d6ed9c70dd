package interop

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/internal/redistest"
)

// A redis-server with an append-only file that is killed and started again
// forgets no claim and no answer: each key runs once, and every caller that gets
// an answer gets that one. With appendfsync everysec it may forget: while an fsync
// takes long, it confirms writes that it has not written to the file yet.
func TestAnswersSurviveAKilledServer(t *testing.T) {
	for _, fsync := range []string{"everysec", "always"} {
		t.Run(fsync, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, connect connect) {
				server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", fsync)
				const keys, kills = 200, 4
				var runs [keys]atomic.Int32
				options := idempotency.Options{Lease: 20 * time.Second, Retention: time.Hour, CommitTimeout: 20 * time.Second}
				var wg sync.WaitGroup
				var done atomic.Bool
				for range 3 { // processes
					x := newExecutor(t, connect(t, server.Addr(), "t:"), options)
					for range 4 {
						wg.Go(func() {
							for i := 0; i < keys || !done.Load(); i++ {
								k := i % keys
								for answered := false; !answered; {
									ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
									v, err := idempotency.Run(ctx, x, fmt.Sprint("k", k), func(context.Context) (int, error) {
										runs[k].Add(1)
										return k, nil
									})
									cancel()
									answered = err == nil
									if answered && v != k {
										t.Errorf("key %d was answered with %d", k, v)
									}
									if t.Context().Err() != nil {
										return
									}
								}
							}
						})
					}
				}
				for range kills {
					time.Sleep(150 * time.Millisecond) // of traffic
					server.Restart(t)
				}
				done.Store(true)
				wg.Wait()
				twice := 0
				for k := range runs {
					if n := runs[k].Load(); n > 1 {
						twice++
					} else if n == 0 {
						t.Errorf("key %d never ran", k)
					}
				}
				// A claim whose holder still lives is never taken over: its lease is
				// longer than the server was away.
				if twice > 0 && fsync == "always" {
					t.Errorf("%d keys ran more than once", twice)
				}
				t.Logf("%d keys ran more than once", twice)
			})
		})
	}
}
