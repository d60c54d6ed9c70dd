package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

// waiters is what a child does: it calls, waits, and says when it was answered.
// Times are those of the machine's clock, which its processes share.
type waiters struct {
	x     *idempotency.Executor
	bare  clients.Bare
	group sync.WaitGroup
	last  atomic.Int64 // when the last one was answered, in Unix nanoseconds
	fault atomic.Pointer[error]
}

var child waiters

// obey does what a line from the parent says, and answers it:
//
//	open CLIENT ADDR   opens an executor and a bare client
//	run KEY N          starts N callers of a key whose action must not run here
//	subscribe CHANNEL  starts to wait for one message
//	last               waits until all have their answer; the answer is when
func obey(words []string) string {
	var err error
	answer := "ok"
	switch {
	case len(words) == 3 && words[0] == "open":
		err = child.open(words[1], words[2])
	case len(words) == 3 && words[0] == "run":
		var n int
		if n, err = strconv.Atoi(words[2]); err == nil {
			child.run(words[1], n)
		}
	case len(words) == 2 && words[0] == "subscribe":
		err = child.subscribe(words[1])
	case len(words) == 1 && words[0] == "last":
		child.group.Wait()
		if fault := child.fault.Load(); fault != nil {
			err = *fault
		}
		answer = strconv.FormatInt(child.last.Load(), 10)
	default:
		err = fmt.Errorf("no such line: %q", words)
	}
	if err != nil {
		return "error " + strconv.Quote(err.Error())
	}
	return answer
}

func (w *waiters) open(name, addr string) error {
	client, known := clients.Named(name)
	if !known {
		return fmt.Errorf("no client %q", name)
	}
	tb := process{ctx: context.Background()}
	store := client.Open(tb, addr, nil)
	clients.Warm(tb, store)
	var err error
	w.x, err = idempotency.New(store, idempotency.Options{Namespace: namespace, Codec: codec.Raw})
	w.bare = client.Bare(tb, addr)
	return err
}

func (w *waiters) run(key string, n int) {
	var begun sync.WaitGroup
	begun.Add(n)
	for range n {
		w.group.Go(func() {
			begun.Done()
			_, err := idempotency.Run(context.Background(), w.x, key, notAgain)
			w.answered(err)
		})
	}
	begun.Wait()
}

func (w *waiters) subscribe(channel string) error {
	ctx, cancel := context.WithCancel(context.Background())
	w.group.Add(1)
	var once sync.Once
	err := w.bare.Subscribe(ctx, channel, func() {
		once.Do(func() {
			w.answered(nil)
			w.group.Done()
			cancel()
		})
	})
	if err != nil {
		cancel()
		w.group.Done()
	}
	return err
}

func (w *waiters) answered(err error) {
	now := time.Now().UnixNano()
	if err != nil {
		err = errors.Join(err)
		w.fault.Store(&err)
	}
	for {
		last := w.last.Load()
		if now <= last || w.last.CompareAndSwap(last, now) {
			return
		}
	}
}
