package measure

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlan(t *testing.T) {
	for text, want := range map[string]Plan{
		"10x":   {Slices: 1, Blocks: 1, Ops: 10},
		"1s":    {Slices: 5, Blocks: 20, Length: time.Second},
		"250ms": {Slices: 5, Blocks: 5, Length: 250 * time.Millisecond},
		"100ms": {Slices: 2, Blocks: 5, Length: 100 * time.Millisecond},
		"10ms":  {Slices: 1, Blocks: 5, Length: 10 * time.Millisecond},
		"what":  {Slices: 5, Blocks: 20, Length: time.Second},
	} {
		if got := parsePlan(text); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if n := parsePlan("10ms").Samples(300); n != 60 {
		t.Errorf("%d samples where time is short", n)
	}
}

func TestQuantiles(t *testing.T) {
	if m := Median([]float64{9, 1, 5}); m != 5 {
		t.Errorf("median %v", m)
	}
	if m := Median([]float64{1, 2}); m != 1.5 {
		t.Errorf("median %v", m)
	}
	if m := Median(nil); m != 0 {
		t.Errorf("median of none %v", m)
	}
	latencies := make(Latencies, 101)
	for i := range latencies {
		latencies[i] = time.Duration(100-i) * time.Microsecond
	}
	if p := latencies.Quantile(0.99); p != 99 {
		t.Errorf("p99 %v", p)
	}
}

// A contender that takes twice as long has half the throughput, also where one
// of the blocks was disturbed.
func TestCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sleep := func(d time.Duration) Contender {
			return Contender{d.String(), func(_ context.Context, _, n int) error {
				time.Sleep(time.Duration(n) * d)
				return nil
			}}
		}
		quick, blocks := sleep(100*time.Microsecond), 0
		disturbed := Contender{"disturbed", func(ctx context.Context, goroutine, n int) error {
			if blocks == 2 {
				time.Sleep(50 * time.Millisecond)
			}
			return quick.Run(ctx, goroutine, n)
		}}
		c, err := Compare(t.Context(), Plan{Slices: 2, Blocks: 5}, Options{Goroutines: 2, Between: func() { blocks++ }},
			disturbed, sleep(200*time.Microsecond))
		if err != nil {
			t.Fatal(err)
		}
		if ratio := c.Ratio(0, 1); ratio < 1.99 || ratio > 2.01 {
			t.Errorf("ratio %v, want 2", ratio)
		}
		if blocks != 5 {
			t.Errorf("%d blocks, want 5", blocks)
		}
		if ns := c.Ns(1); ns < 99_000 || ns > 101_000 { // by two goroutines
			t.Errorf("%v ns per operation", ns)
		}
	})
}

func TestCompareStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	between := 0
	for _, plan := range []Plan{{Slices: 1, Blocks: 1, Ops: 10}, {Slices: 1, Blocks: 1}} {
		_, err := Compare(t.Context(), plan, Options{Goroutines: 3, Between: func() { between++ }},
			Contender{"broken", func(_ context.Context, goroutine, _ int) error {
				if goroutine == 1 {
					return broken
				}
				return nil
			}})
		if !errors.Is(err, broken) {
			t.Errorf("%+v: %v", plan, err)
		}
	}
	if between > 0 {
		t.Error("went on after an error")
	}
}

// A smoke run does what it was told, all of it and not more.
func TestSmokeRun(t *testing.T) {
	done := make([]int, 4)
	_, err := Compare(t.Context(), parsePlan("12x"), Options{Goroutines: 4}, Contender{"count", func(_ context.Context, goroutine, n int) error {
		done[goroutine] += n
		return nil
	}})
	if err != nil || !slices.Equal(done, []int{3, 3, 3, 3}) {
		t.Error(done, err)
	}
}

func TestAllocs(t *testing.T) {
	var sink []byte
	count, bytes := Allocs(1000, func() { sink = make([]byte, 1024) })
	if count < 1 || count > 1.5 || bytes < 1024 || bytes > 1500 {
		t.Errorf("%v allocations of %v bytes", count, bytes)
	}
	_ = sink
}

// A command that comes in pieces is one, and what goes out before an answer is
// one round trip.
func TestTap(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	tap := new(Tap)
	conn, err := tap.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	send := func(text string) {
		t.Helper()
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	answer := func(n int) {
		t.Helper()
		if _, err := io.ReadFull(conn, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	hello, set, get := "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
	send(hello)
	answer(len(hello))
	send(set[:10])
	send(set[10:] + get)
	answer(len(set) + len(get))
	send(get)
	send(get)
	answer(2 * len(get))
	trips := tap.Take()
	if len(trips) != 2 || len(trips[0]) != 2 || len(trips[1]) != 2 || !slices.Equal(trips[0][0], Command{"SET", "k", "a\r\nb"}) {
		t.Errorf("round trips %q", trips)
	}
	if commands, trips := tap.Count(); commands != 0 || trips != 0 || tap.Conns() != 1 {
		t.Errorf("%d commands, %d round trips, %d connections", commands, trips, tap.Conns())
	}
	conn.Close()
	conn.Close()
	if tap.Conns() != 0 {
		t.Errorf("%d connections after closing", tap.Conns())
	}
}

func TestPin(t *testing.T) {
	restore, err := Pin()
	if err != nil {
		t.Skip(err)
	}
	restore()
}
