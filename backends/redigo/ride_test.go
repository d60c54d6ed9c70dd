package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What holds for calls that are made alone holds for those that ride: openAt makes
// all of this test's ride.
func TestRiding(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"conformance":            TestConformanceOnRedis,
		"conformance, miniredis": TestConformanceOnMiniredis,
		"commands":               TestCommands,
		"lost replies":           TestLostReplies,
		"dead idle connections":  TestDeadIdleConnections,
		"script flush":           TestScriptFlush,
		"errors of replies":      TestErrorsOfReplies,
		"unknown replies":        TestRepliesOfUnknownForm,
		"replica":                TestReplica,
		"out of memory":          TestOutOfMemory,
		"corrupt records":        TestCorruptRecords,
		"pool errors":            TestPoolErrors,
		"permissions":            TestPermissions,
		"silent server":          TestSilentServer,
		"silent handshake":       TestSilentHandshake,
		"pool in use":            TestPoolInUse,
		"nothing for nobody":     TestNothingIsSentForNobody,
		"read timeout":           TestReadTimeoutOfThePool,
		"interruptions":          TestInterruptedConnectionsAreNotReused,
		"no ctx":                 TestCtxThatCanNotEnd,
		"close":                  TestCloseWhileWaitersLeave,
		"tls":                    TestTLS,
	} {
		t.Run(name, test)
	}
}

// warm has the server run the scripts, and the backend's first claim, which doesn't
// ride.
func warm(tb testing.TB, b *redigo.Backend) {
	tb.Helper()
	record := take(tb, b, "warm")
	if _, err := b.Claim(tb.Context(), "warm", claiming(newToken())); err != nil {
		tb.Fatal(err)
	}
	complete(tb, b, "warm", record, "o")
}

// each makes n calls at once and returns their errors.
func each(n int, call func(i int) error) []error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = call(i) })
	}
	group.Wait()
	return errs
}

// Ten calls that ride together are one round trip, and what they leave to be sent is
// one for each.
func TestRidersShareATrip(t *testing.T) {
	const n = 10
	proxy := newProxy(t, redistest.Address(t), nil)
	b := open(t, newPool(t, proxy.Addr()))
	warm(t, b)
	redigo.RideTogether(b, n)
	owners := make([]backend.ClaimRequest, n)
	for _, step := range []struct {
		what  string
		trips int
		call  func(i int) error
	}{
		{"fresh claims", 1, func(i int) error {
			owners[i] = claiming(newToken())
			record, err := b.Claim(t.Context(), fmt.Sprint(i), owners[i])
			if err == nil && (record.State != backend.Claimed || record.Token != owners[i].Token) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"lost claims", 1 + n, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))
			if err == nil && (record.Token != owners[i].Token || record.LeaseLeft <= 0) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"claims sent before", 1 + n, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), owners[i])
			if err == nil && (record.Token != owners[i].Token || record.LeaseLeft != 0) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
		{"commits", 1, func(i int) error {
			return b.Commit(t.Context(), fmt.Sprint(i), completing(owners[i].Token, fmt.Sprint("outcome ", i)))
		}},
		{"replays", 1, func(i int) error {
			record, err := b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))
			if err == nil && string(record.Outcome) != fmt.Sprint("outcome ", i) {
				err = fmt.Errorf("%+v", record)
			}
			return err
		}},
	} {
		before := len(proxy.Exchanges())
		for i, err := range each(n, step.call) {
			if err != nil {
				t.Errorf("%s: %d: %v", step.what, i, err)
			}
		}
		if trips := len(proxy.Exchanges()) - before; trips != step.trips {
			t.Errorf("%s: %d round trips, want %d", step.what, trips, step.trips)
		}
	}
}

// An error reply is that of one call.
func TestErrorOfOneRider(t *testing.T) {
	server := redistest.Start(t)
	prefix := redistest.Prefix(t)
	layout, _ := wire.NewLayout(prefix)
	b := openAt(t, newPool(t, server.Addr()), prefix)
	warm(t, b)
	const n = 6
	redigo.RideTogether(b, n)
	server.Do(t, "HSET", layout.Record("2"), "field", "value")
	server.Do(t, "SET", layout.Record("4"), "no record", "PX", "100000")
	for range 2 { // the second time the claims are sent with the same tokens
		for i, err := range each(n, func(i int) error {
			return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(backend.Token{1, byte(i)})))
		}) {
			var class error
			if i == 2 || i == 4 {
				class = backend.ErrCorrupt
			}
			if wrong := oneOf(err, class); wrong != nil || (err == nil) != (class == nil) {
				t.Errorf("claim %d: %v: %v", i, err, wrong)
			}
		}
	}
	for i, err := range each(n, func(i int) error {
		token := backend.Token{1, byte(i)}
		if i == 3 {
			token = newToken() // not the holder's
		}
		return b.Commit(t.Context(), fmt.Sprint(i), completing(token, "outcome"))
	}) {
		class := map[int]error{2: backend.ErrCorrupt, 3: backend.ErrSuperseded, 4: backend.ErrCorrupt}[i]
		if wrong := oneOf(err, class); wrong != nil || (err == nil) != (class == nil) {
			t.Errorf("commit %d: %v: %v", i, err, wrong)
		}
	}
}

// The server forgot the script: every rider sends it by itself.
func TestScriptFlushWhileRiding(t *testing.T) {
	const n = 5
	server := redistest.Start(t)
	b := open(t, newPool(t, server.Addr()))
	warm(t, b)
	records := make([]backend.Record, n)
	for i := range n {
		records[i] = take(t, b, fmt.Sprint(i))
	}
	redigo.RideTogether(b, n)
	server.Do(t, "SCRIPT", "FLUSH")
	monitor := redistest.Watch(t, server.Addr())
	for i, err := range each(n, func(i int) error {
		return b.Commit(t.Context(), fmt.Sprint(i), completing(records[i].Token, "outcome"))
	}) {
		if err != nil {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	sent := monitor.Stop()
	slices.Sort(sent)
	// Who comes late finds the script loaded again.
	if len(sent) != 2*n || sent[0] != "EVAL" || sent[n] != "EVALSHA" {
		t.Errorf("sent %v", sent)
	}
}

// The connection breaks when some were answered: claims are made by themselves, and
// nobody knows of the commits.
func TestBrokenRide(t *testing.T) {
	const n, answered = 8, 3
	var commands atomic.Int64
	var breaks atomic.Bool
	addr := canned(t, func(command []string) string {
		switch {
		case command[0] == "HELLO":
			return modern
		case breaks.Load() && commands.Add(1) == answered+1:
			return ""
		case command[0] == "SET":
			return "$-1"
		}
		return ":1"
	})
	pool := newPool(t, addr)
	b := open(t, pool)
	take(t, b, "warm")
	if err := b.Commit(t.Context(), "warm", completing(newToken(), "o")); err != nil {
		t.Fatal(err)
	}
	redigo.RideTogether(b, n)
	breaks.Store(true)
	for i, err := range each(n, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if err != nil {
			t.Errorf("claim %d: %v", i, err)
		}
	}
	if got := commands.Load(); got != answered+1+n-answered {
		t.Errorf("%d commands", got)
	}
	commands.Store(0)
	failed := 0
	for i, err := range each(n, func(i int) error {
		return b.Commit(t.Context(), fmt.Sprint(i), completing(newToken(), "o"))
	}) {
		if wrong := oneOf(err, nil); wrong != nil {
			t.Errorf("commit %d: %v", i, wrong)
		}
		if err != nil {
			failed++
		}
	}
	if failed != n-answered || commands.Load() != answered+1 {
		t.Errorf("%d of %d commits failed after %d commands", failed, n, commands.Load())
	}
	breaks.Store(false)
	for i, err := range each(n, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if err != nil {
			t.Errorf("claim %d: %v", i, err)
		}
	}
	if active, idle := pool.ActiveCount(), pool.IdleCount(); active != idle {
		t.Errorf("%d connections, %d of them idle", active, idle)
	}
}

// What may have been applied by the ride is never said not to be.
func TestNotAppliedAfterABrokenRideIsUnknown(t *testing.T) {
	proxy := newProxy(t, redistest.Address(t), nil)
	pool := newPool(t, proxy.Addr())
	var refuse atomic.Bool
	dial := pool.DialContext
	pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
		if refuse.Load() {
			return nil, errors.New("no more")
		}
		return dial(ctx)
	}
	b := open(t, pool)
	warm(t, b)
	redigo.RideTogether(b, 2)
	refuse.Store(true)
	proxy.OnNth(command("SET"), 1, faults.CutReply)
	for i, err := range each(2, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if wrong := oneOf(err, nil); err == nil || wrong != nil {
			t.Errorf("claim %d: %v, %v", i, err, wrong)
		}
	}
	// And what wasn't sent is.
	for i, err := range each(2, func(i int) error { return second(b.Claim(t.Context(), fmt.Sprint(i), claiming(newToken()))) }) {
		if wrong := oneOf(err, backend.ErrNotApplied); wrong != nil {
			t.Errorf("claim %d, without a connection: %v", i, wrong)
		}
	}
}

// A call whose ctx ends before there is a ride isn't sent.
func TestNothingIsSentForWhoDoesNotBoard(t *testing.T) {
	server := redistest.Start(t)
	pool := newPool(t, server.Addr())
	b := open(t, pool)
	warm(t, b)
	redigo.RideTogether(b, 3)
	leave := func() {
		for range 2 {
			_, err := b.Claim(withTimeout(t, 20*time.Millisecond), "left", claiming(newToken()))
			if wrong := oneOf(err, backend.ErrNotApplied); wrong != nil || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v", err, wrong)
			}
		}
	}
	leave()
	monitor := redistest.Watch(t, server.Addr())
	take(t, b, "there")
	if sent := monitor.Stop(); !slices.Equal(sent, []string{"SET"}) {
		t.Errorf("sent %v", sent)
	}
	if record := fetch(t, b, "left"); !record.Unknown() {
		t.Errorf("%+v", record)
	}
	// Nor does the ride wait for it.
	leave()
	server.Pause(t)
	defer server.Resume(t)
	if _, err := b.Claim(withTimeout(t, 20*time.Millisecond), "key", claiming(newToken())); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	until(t, "the ride is over", func() bool { return pool.ActiveCount() == pool.IdleCount() })
}

// Who leaves a ride holds up none of the others, and the last one ends it.
func TestRidersLeave(t *testing.T) {
	addr := redistest.Address(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	proxy, err := faults.NewProxy(addr, faults.ProxyOptions{Complete: faults.WholeRESP})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	pool := newPool(t, proxy.Addr())
	defer pool.Close()
	b := open(t, pool)
	defer b.Close()
	warm(t, b)
	const n = 10
	redigo.RideTogether(b, n)

	proxy.Pause()
	var left sync.WaitGroup
	left.Add(n - 1)
	time.AfterFunc(0, func() { left.Wait(); proxy.Resume() })
	for i, err := range each(n, func(i int) error {
		ctx := t.Context()
		if i != 5 {
			defer left.Done()
			ctx = withTimeout(t, 30*time.Millisecond)
		}
		return second(b.Claim(ctx, fmt.Sprint(i), claiming(newToken())))
	}) {
		if i == 5 && err != nil {
			t.Errorf("who stayed got %v", err)
		}
		if wrong := oneOf(err, nil); i != 5 && (wrong != nil || !errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("who left got %v, %v", err, wrong)
		}
	}
	until(t, "the ride is over", func() bool { return pool.ActiveCount() == pool.IdleCount() })

	proxy.Pause()
	defer proxy.Resume()
	for _, err := range each(n, func(i int) error {
		return second(b.Claim(withTimeout(t, time.Duration(i)*10*time.Millisecond+5*time.Millisecond), fmt.Sprint("again", i), claiming(newToken())))
	}) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who left got %v", err)
		}
	}
	// The server is silent still: the connection was cut.
	until(t, "the ride is over", func() bool { return pool.ActiveCount() == pool.IdleCount() })
}

// Whose replies are still to come have left: nobody would end the ride.
func TestRideGoesOnForNobody(t *testing.T) {
	silence, left := make(chan struct{}), make(chan struct{})
	addr := canned(t, func(command []string) string {
		switch {
		case command[0] == "HELLO":
			return modern
		case strings.HasSuffix(command[1], ":leaves"):
			<-silence
		case strings.HasSuffix(command[1], ":stays"):
			<-left
		}
		return "$-1"
	})
	pool := newPool(t, addr)
	b := open(t, pool)
	take(t, b, "warm")
	waiting := redigo.RideTogether(b, 2)
	defer close(silence)
	each(2, func(i int) error {
		if i == 0 {
			take(t, b, "stays")
			return nil
		}
		until(t, "the other waits", func() bool { return waiting() == 1 })
		_, err := b.Claim(withTimeout(t, 30*time.Millisecond), "leaves", claiming(newToken()))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(left)
		return nil
	})
	until(t, "the ride is over", func() bool { return pool.ActiveCount() == 0 })
}

// Who leaves while there is no connection isn't sent, and the wait for one ends with
// the last rider.
func TestRidersLeaveWithoutAConnection(t *testing.T) {
	server := redistest.Start(t)
	pool := newPool(t, server.Addr())
	pool.MaxActive, pool.Wait = 1, true
	b := open(t, pool)
	warm(t, b)
	const n = 5
	redigo.RideTogether(b, n)
	monitor := redistest.Watch(t, server.Addr())
	conn := pool.Get()
	var left sync.WaitGroup
	left.Add(n - 1)
	for i, err := range each(n, func(i int) error {
		if i == 3 {
			go func() { left.Wait(); conn.Close() }()
			return second(b.Claim(t.Context(), "stays", claiming(newToken())))
		}
		defer left.Done()
		return second(b.Claim(withTimeout(t, 30*time.Millisecond), fmt.Sprint(i), claiming(newToken())))
	}) {
		if wrong := oneOf(err, backend.ErrNotApplied); i != 3 && (wrong != nil || !errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("who left got %v, %v", err, wrong)
		} else if i == 3 && err != nil {
			t.Errorf("who stayed got %v", err)
		}
	}
	if sent := monitor.Stop(); !slices.Equal(sent, []string{"SET"}) {
		t.Errorf("sent %v", sent)
	}

	current := goleak.IgnoreCurrent()
	conn = pool.Get()
	defer conn.Close()
	for _, err := range each(n, func(i int) error {
		return second(b.Claim(withTimeout(t, 30*time.Millisecond), fmt.Sprint(i), claiming(newToken())))
	}) {
		if wrong := oneOf(err, backend.ErrNotApplied); wrong != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", err, wrong)
		}
	}
	goleak.VerifyNone(t, current)
}

// A claim that needs the script holds up nobody, and ends with its ctx there too.
func TestScriptAfterARideEndsWithItsCtx(t *testing.T) {
	const n = 3
	for _, idle := range []int{0, 32} {
		proxy := newProxy(t, redistest.Address(t), nil)
		pool := newPool(t, proxy.Addr())
		pool.MaxIdle = idle
		b := open(t, pool)
		warm(t, b)
		take(t, b, "1")
		redigo.RideTogether(b, n)
		proxy.OnNth(command("EVALSHA"), 1, faults.Blackhole)
		var served sync.WaitGroup
		served.Add(n - 1)
		for i, err := range each(n, func(i int) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i == 1 {
				go func() { served.Wait(); time.Sleep(20 * time.Millisecond); cancel() }()
			} else {
				defer served.Done()
			}
			return second(b.Claim(ctx, fmt.Sprint(i), claiming(newToken())))
		}) {
			if wrong := oneOf(err, nil); i == 1 && (wrong != nil || !errors.Is(err, context.Canceled)) {
				t.Errorf("the lost claim: %v, %v", err, wrong)
			} else if i != 1 && err != nil {
				t.Errorf("claim %d: %v", i, err)
			}
		}
		until(t, "no connection is in use", func() bool { return pool.ActiveCount() == pool.IdleCount() })
	}
}

// Many ride to a server that is silent: all return in time, and no goroutine stays.
func TestRidersOfASilentServer(t *testing.T) {
	server := redistest.Start(t)
	pool := newPool(t, server.Addr())
	pool.MaxActive, pool.Wait = 20, true
	b := open(t, pool)
	redigo.Ride(b)
	warm(t, b)
	server.Pause(t)
	defer server.Resume(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 3 {
		for _, err := range each(300, func(i int) error {
			limit := time.Duration(10+i%50) * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begin := time.Now()
			var err error
			if i%2 == 0 {
				_, err = b.Claim(ctx, fmt.Sprint(i), claiming(newToken()))
			} else {
				err = b.Commit(ctx, fmt.Sprint(i), completing(newToken(), "outcome"))
			}
			if took := time.Since(begin); took > limit+patience/10 {
				t.Errorf("returned after %v of %v", took, limit)
			}
			return err
		}) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
		}
	}
	until(t, "no connection is in use", func() bool { return pool.ActiveCount() == pool.IdleCount() })
}

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
