package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

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
