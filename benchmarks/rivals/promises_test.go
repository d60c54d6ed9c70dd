package rivals

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/internal/redistest"
)

// onEach runs a test on each rival, which it opens as often as it likes, on one
// server.
func onEach(t *testing.T, test func(t *testing.T, rival Rival, open func(dial clients.Dial) Do)) {
	for _, rival := range All {
		t.Run(rival.Name, func(t *testing.T) {
			addr := ""
			if rival.Client != "" {
				addr = redistest.Start(t).Addr()
			}
			test(t, rival, func(dial clients.Dial) Do { return rival.Open(t, addr, dial) })
		})
	}
}

// says is an action that counts and answers.
func says(runs *atomic.Int64, text string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) {
		runs.Add(1)
		return []byte(text), nil
	}
}

func TestSecondCall(t *testing.T) {
	onEach(t, func(t *testing.T, rival Rival, open func(dial clients.Dial) Do) {
		var runs atomic.Int64
		do, key := open(nil), nextKey()
		again := do
		if rival.Client != "" {
			again = open(nil) // another process
		}
		first, err := do(t.Context(), key, says(&runs, "first"))
		if err != nil {
			t.Fatal(err)
		}
		second, err := again(t.Context(), key, says(&runs, "second"))
		if err != nil {
			t.Fatal(err)
		}
		if n := runs.Load(); rival.Remembers != (n == 1) {
			t.Errorf("ran %d times, and Remembers is %v", n, rival.Remembers)
		}
		if keeps := string(first) == "first" && string(second) == "first"; keeps != rival.Keeps {
			t.Errorf("answers %q and %q, and Keeps is %v", first, second, rival.Keeps)
		}
		if _, err := again(t.Context(), nextKey(), says(&runs, "other")); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int64{true: 2, false: 3}[rival.Remembers]; runs.Load() != want {
			t.Errorf("another key: ran %d times in all, want %d", runs.Load(), want)
		}
	})
}

func TestErrors(t *testing.T) {
	onEach(t, func(t *testing.T, rival Rival, open func(dial clients.Dial) Do) {
		var runs atomic.Int64
		do, key := open(nil), nextKey()
		decline := func(context.Context) ([]byte, error) {
			runs.Add(1)
			return nil, errors.New("card declined")
		}
		for range 2 {
			_, err := do(t.Context(), key, decline)
			if err == nil && rival.Keeps || err != nil && !strings.Contains(err.Error(), "card declined") {
				t.Errorf("got %v", err)
			}
		}
		if n := runs.Load(); rival.Errors != (n == 1) {
			t.Errorf("ran %d times, and Errors is %v", n, rival.Errors)
		}
	})
}

// hold lets one caller run an action, calls the others while it runs, and returns
// what all have got.
func hold(t *testing.T, first Do, others []Do, until func(runs *atomic.Int64)) (answers [][]byte, runs int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	key, running, end := nextKey(), make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	var once sync.Once
	action := func(ctx context.Context) ([]byte, error) {
		count.Add(1)
		once.Do(func() { close(running) })
		select {
		case <-end:
			return payload, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	answers = make([][]byte, len(others)+1)
	var group, begun sync.WaitGroup
	call := func(i int, do Do) {
		group.Go(func() {
			if i > 0 {
				begun.Done()
			}
			var err error
			if answers[i], err = do(ctx, key, action); err != nil {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	call(0, first)
	select {
	case <-running:
	case <-ctx.Done():
		t.Fatal("the action doesn't start")
	}
	begun.Add(len(others))
	for i, do := range others {
		call(i+1, do)
	}
	begun.Wait()
	until(&count)
	close(end)
	group.Wait()
	return answers, count.Load()
}

func TestConcurrentCallers(t *testing.T) {
	onEach(t, func(t *testing.T, rival Rival, open func(dial clients.Dial) Do) {
		if !rival.Waits || !rival.Keeps {
			t.Skip("see TestDuplicateOfARunningMessage and TestSingleflight")
		}
		do := open(nil)
		answers, runs := hold(t, do, []Do{do, do, do, do}, func(*atomic.Int64) {})
		checkAnswers(t, answers)
		if runs != 1 {
			t.Errorf("ran %d times", runs)
		}
	})
}

// Who comes to singleflight after the end runs again, so the action ends when all
// wait.
func TestSingleflight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do := Singleflight.Open(t, "", nil)
		answers, runs := hold(t, do, []Do{do, do, do, do}, func(*atomic.Int64) { synctest.Wait() })
		checkAnswers(t, answers)
		if runs != 1 {
			t.Errorf("ran %d times", runs)
		}
	})
}

func checkAnswers(t *testing.T, answers [][]byte) {
	t.Helper()
	for i, got := range answers {
		if !bytes.Equal(got, payload) {
			t.Errorf("caller %d got %q", i, got)
		}
	}
}

// Callers in several processes run once where that is promised, and where it
// isn't the action runs in both.
func TestCallersAcrossProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, rival Rival, open func(dial clients.Dial) Do) {
		if rival.Client == "" {
			t.Skip("is for one process")
		}
		tap := new(measure.Tap)
		first, other := open(nil), open(tap.Dial)
		tap.Take()
		answers, runs := hold(t, first, []Do{other, other}, func(*atomic.Int64) {
			// Until the second process has asked about the key.
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				if commands, _ := tap.Count(); commands > 0 {
					return
				}
				if time.Now().After(deadline) {
					t.Error("the other process sends nothing")
					return
				}
			}
		})
		checkAnswers(t, answers)
		if rival.Across != (runs == 1) {
			t.Errorf("ran %d times, and Across is %v", runs, rival.Across)
		}
	})
}

// A duplicate of a message whose handler still runs is dropped by watermill as if
// it were done; ours is to come again.
func TestDuplicateOfARunningMessage(t *testing.T) {
	for _, rival := range []Rival{Watermill, WatermillByID, repriseConsumer} {
		t.Run(rival.Name, func(t *testing.T) {
			do, key := rival.Open(t, "", nil), nextKey()
			_, err := do(t.Context(), key, func(ctx context.Context) ([]byte, error) {
				done := make(chan error, 1)
				go func() {
					_, err := do(t.Context(), key, notAgain)
					done <- err
				}()
				if err := <-done; (err == nil) != rival.Errors {
					t.Errorf("the duplicate got %v", err)
				}
				return nil, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
