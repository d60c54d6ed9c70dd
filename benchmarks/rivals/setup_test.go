package rivals

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/internal/redistest"
)

// What is left out can't be stopped: watermill's repository cleans up for as long
// as the process lives, fasthttp keeps its clock, and its pool of workers ends ten
// seconds after it was told to.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/ThreeDotsLabs/watermill/message/router/middleware.(*mapExpiringKeyRepository).cleanOutLoop"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

var errReply = errors.New("not the reply that was expected")

var payload = bytes.Repeat([]byte("0123456789abcdef"), 8)

// answer is an action that answers at once, and notAgain one that must not run.
func answer(context.Context) ([]byte, error) { return payload, nil }

func notAgain(context.Context) ([]byte, error) { return nil, errors.New("ran again") }

var keys atomic.Uint64

// nextKey is a key of the length of a UUID, which is what fiber takes, that was
// never used in this process.
func nextKey() string {
	key := []byte("00000000-0000-4000-8000-000000000000")
	n := keys.Add(1)
	for i := range 8 {
		key[7-i] = "0123456789abcdef"[n>>(4*i)&15]
	}
	return string(key)
}

// repeat is a contender that does one thing, by goroutine.
func repeat(name string, one func(ctx context.Context, goroutine int) error) measure.Contender {
	return measure.Contender{Name: name, Run: func(ctx context.Context, goroutine, n int) error {
		for range n {
			if err := one(ctx, goroutine); err != nil {
				return err
			}
		}
		return nil
	}}
}

// atEach runs a benchmark at each concurrency, with client and server on one CPU
// where one goroutine runs.
func atEach(b *testing.B, goroutines []int, server *redistest.Server, run func(b *testing.B, c int)) {
	for _, c := range goroutines {
		b.Run("c="+strconv.Itoa(c), func(b *testing.B) {
			if c == 1 {
				var pids []int
				if server != nil {
					pids = append(pids, server.Process().Pid)
				}
				restore, err := measure.Pin(pids...)
				if err != nil {
					b.Logf("client and server run on any CPU: %v", err)
				} else {
					b.Cleanup(restore)
				}
			}
			run(b, c)
		})
	}
}

// count reports what one call costs: what it allocates in the whole process and,
// where it is measured through a tap as well, what it sends.
func count(b *testing.B, call measure.Contender, onTap *measure.Contender, tap *measure.Tap) {
	b.Helper()
	b.ReportAllocs()
	n := 50
	if measure.PlanOf().Smoke() {
		n = 5
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if onTap != nil {
		if err := onTap.Run(ctx, 0, 1); err != nil { // scripts are loaded by the first call that needs them
			b.Fatal(err)
		}
		tap.Take()
		if err := onTap.Run(ctx, 0, n); err != nil {
			b.Fatal(err)
		}
		commands, trips := tap.Count()
		b.ReportMetric(float64(commands)/float64(n), "cmds/op")
		b.ReportMetric(float64(trips)/float64(n), "rtt/op")
	}
	allocs, size := measure.Allocs(n, func() {
		if err := call.Run(ctx, 0, 1); err != nil {
			b.Fatal(err)
		}
	})
	b.ReportMetric(allocs, "allocs/op")
	b.ReportMetric(size, "B/op")
}

// empty removes all keys, between blocks of fresh calls.
func empty(tb testing.TB, server *redistest.Server) {
	redistest.Do(tb, server.Addr(), "EVAL",
		"local keys = redis.call('KEYS', '*') for i = 1, #keys, 5000 do "+
			"redis.call('UNLINK', unpack(keys, i, math.min(i + 4999, #keys))) end", "0")
}

// raw is the client of a rival, as it comes.
func raw(tb testing.TB, name, addr string) clients.Bare {
	tb.Helper()
	client, known := clients.Named(name)
	if !known {
		tb.Fatalf("no client %q", name)
	}
	return client.Raw(tb, addr)
}
