package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

// 200 goroutines at once, most of them on keys that others want as well, while
// nothing fails and while connections are killed: each key has one owner, and
// everybody is told of it.
func TestStormOfRiders(t *testing.T) {
	for name, killing := range map[string]bool{"calm": false, "connections are killed": true} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			pool := newPool(t, server.Addr())
			b := open(t, pool)
			redigo.Ride(b)
			warm(t, b)
			stop := make(chan struct{})
			var killer sync.WaitGroup
			if killing {
				killer.Go(func() {
					for {
						select {
						case <-stop:
							return
						case <-time.After(5 * time.Millisecond):
							_ = redistest.Do(t, server.Addr(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
						}
					}
				})
			}
			const goroutines, rounds = 200, 40
			var owners sync.Map // of *atomic.Int64
			for _, err := range each(goroutines, func(g int) error {
				for round := range rounds {
					key := fmt.Sprint("shared", round, g%20)
					if round%2 == 0 {
						key = fmt.Sprint("own", round, g)
					}
					request := claiming(newToken())
					record, err := again(func() (backend.Record, error) { return b.Claim(t.Context(), key, request) }, killing)
					if err != nil {
						return fmt.Errorf("claim: %w", err)
					}
					switch {
					case record.State == backend.Completed:
						if want := fmt.Sprintf("%x", record.Token); string(record.Outcome) != want {
							return fmt.Errorf("the outcome of %s is %q, want %q", key, record.Outcome, want)
						}
					case record.Token == request.Token:
						counter, _ := owners.LoadOrStore(key, new(atomic.Int64))
						counter.(*atomic.Int64).Add(1)
						_, err := again(func() (backend.Record, error) {
							return backend.Record{}, b.Commit(t.Context(), key, completing(request.Token, fmt.Sprintf("%x", request.Token)))
						}, killing)
						if err != nil {
							return fmt.Errorf("commit: %w", err)
						}
					case record.State != backend.Claimed || round%2 == 0:
						return fmt.Errorf("%s: %+v", key, record)
					}
				}
				return nil
			}) {
				if err != nil {
					t.Error(err)
				}
			}
			close(stop)
			killer.Wait()
			keys := 0
			owners.Range(func(key, counter any) bool {
				keys++
				if n := counter.(*atomic.Int64).Load(); n != 1 {
					t.Errorf("%s has %d owners", key, n)
				}
				return true
			})
			if want := rounds/2*goroutines + rounds/2*20; keys != want {
				t.Errorf("%d keys were owned, want %d", keys, want)
			}
			until(t, "no connection is in use", func() bool { return pool.ActiveCount() == pool.IdleCount() })
		})
	}
}

// again makes the call again as long as its outcome is unknown and connections are
// killed.
func again(call func() (backend.Record, error), killing bool) (record backend.Record, err error) {
	for range 1000 {
		if record, err = call(); err == nil || !killing || oneOf(err, nil) != nil && !errors.Is(err, backend.ErrNotApplied) {
			break
		}
	}
	return record, err
}

// A restart of the server with many under way: everybody is answered, and what comes
// afterwards works.
func TestRestartWhileRiding(t *testing.T) {
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	redigo.Ride(b)
	warm(t, b)
	stop := make(chan struct{})
	var served atomic.Int64
	done := make(chan []error, 1)
	go func() {
		done <- each(100, func(g int) error {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return nil
				default:
				}
				key, token := fmt.Sprint(g, " ", n), newToken()
				_, err := b.Claim(t.Context(), key, claiming(token))
				if err == nil {
					err = b.Commit(t.Context(), key, completing(token, strings.Repeat("o", 100)))
				}
				if err == nil {
					served.Add(1)
				} else if oneOf(err, nil) != nil && oneOf(err, backend.ErrNotApplied) != nil && oneOf(err, backend.ErrSuperseded) != nil {
					return err
				}
			}
		})
	}()
	for range 2 {
		before := served.Load()
		until(t, "calls are served", func() bool { return served.Load() > before+100 })
		server.Restart(t)
	}
	before := served.Load()
	until(t, "calls are served after the restart", func() bool { return served.Load() > before+100 })
	close(stop)
	for _, err := range <-done {
		if err != nil {
			t.Error(err)
		}
	}
}

// faulty is a connection of the app's that goes wrong once, where a ride is sent.
type faulty struct {
	redis.Conn
	fault *atomic.Pointer[func()]
}

func (f faulty) Flush() error {
	if fault := f.fault.Swap(nil); fault != nil {
		(*fault)()
	}
	return f.Conn.Flush()
}

// A connection that panics or ends the goroutine under a ride neither ends the
// process nor lets anybody wait for ever.
func TestFaultyConnectionUnderARide(t *testing.T) {
	const n = 10
	addr := redistest.Address(t)
	for name, fault := range map[string]func(){"panic": func() { panic("connection") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			var next atomic.Pointer[func()]
			pool := &redis.Pool{MaxIdle: 2, DialContext: func(ctx context.Context) (redis.Conn, error) {
				conn, err := redis.DialContext(ctx, "tcp", addr)
				return faulty{conn, &next}, err
			}}
			t.Cleanup(func() { _ = pool.Close() })
			b := open(t, pool)
			warm(t, b)
			redigo.RideTogether(b, n)
			owners := make([]backend.ClaimRequest, n)
			next.Store(&fault)
			for i, err := range each(n, func(i int) error {
				owners[i] = claiming(newToken())
				record, err := b.Claim(t.Context(), fmt.Sprint(i), owners[i])
				if err == nil && record.Token != owners[i].Token {
					err = fmt.Errorf("%+v", record)
				}
				return err
			}) {
				if err != nil {
					t.Errorf("claim %d: %v", i, err)
				}
			}
			next.Store(&fault)
			for i, err := range each(n, func(i int) error {
				return b.Commit(t.Context(), fmt.Sprint(i), completing(owners[i].Token, "outcome"))
			}) {
				if err == nil || errors.Is(err, backend.ErrNotApplied) {
					t.Errorf("commit %d: %v, want an unknown outcome", i, err)
				}
			}
		})
	}
}
