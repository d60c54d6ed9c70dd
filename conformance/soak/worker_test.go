//go:build unix

package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// outcome is what the actions answer.
type outcome struct {
	ID  string
	Pad string
}

var (
	errDeclined = errors.New("declined") // recorded and replayed
	errBusy     = errors.New("busy")     // nothing happened: the key is released
	errRefused  = errors.New("refused by the ledger: a newer attempt was there")
)

// worker is one process of the soak: an executor over one client, and goroutines
// that call it.
type worker struct {
	config
	log        *journal
	ledger     *ledger
	crash      *crasher
	executor   *idempotency.Executor
	operations map[byte]*idempotency.Operation[outcome]
	stopping   atomic.Bool
}

// runWorker is the main function of a worker process. It works until its standard
// input ends, which it does with its parent too.
func runWorker(text string) int {
	c, err := parseConfig(text)
	if err == nil {
		err = work(c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

// leakPatience is for what ends soon after a client was closed: rueidis looks at a
// cluster a second later, and then sees that it is closed.
const leakPatience = 10 * time.Second

func work(c config) error {
	log, err := openJournal(filepath.Join(c.Dir, journalName), c.ID)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := &worker{config: c, log: log, ledger: &ledger{dir: c.Dir, worker: c.ID}, crash: newCrasher(c.Crash, log)}
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = io.Copy(io.Discard, os.Stdin)
		w.stopping.Store(true)
		cancel()
	}()
	connected, closeAll, err := c.connect(ctx)
	if err != nil {
		if ctx.Err() != nil { // the store never came while there was work
			return nil
		}
		return err
	}
	log.add(event{Kind: evStart, What: c.Client})
	if err := w.serve(connected); err != nil {
		return err
	}
	if c.Sweep == "" {
		<-told
	}
	closeAll()
	options := []goleak.Option{}
	if c.Sweep != "" { // its standard input is still open
		options = append(options, goleak.IgnoreAnyFunction("github.com/reprise-go/reprise/conformance/soak.work.func1"))
	}
	if c.Kind == "sentinel" && c.Client == "rueidis" {
		// rueidis 1.0.79 seldom leaves a connection open that is closed while its
		// master is replaced. It ends with the process; all other goroutines count.
		for _, f := range []string{"_background", "_backgroundRead", "_backgroundWrite"} {
			options = append(options, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*pipe)."+f))
		}
	}
	leak := goleak.Find(options...)
	for deadline := time.Now().Add(leakPatience); leak != nil && time.Now().Before(deadline); {
		leak = goleak.Find(options...)
	}
	if leak != nil {
		log.add(event{Kind: evLeak, Err: leak.Error()})
	}
	log.add(event{Kind: evEnd})
	return log.close()
}

// serve makes calls until it is told to stop and everything has come to rest.
func (w *worker) serve(connected store) error {
	breaker := faults.NewInjector(w.breakVerb(rand.New(rand.NewPCG(w.Seed, 1))))
	defer breaker.Close()
	mutated, err := mutate(w.Mutant, connected)
	if err != nil {
		return err
	}
	if err := w.declare(breaker.Wrap(&recorder{store: mutated, log: w.log, crash: w.crash}).(store)); err != nil {
		return err
	}
	var callers sync.WaitGroup
	if w.Sweep != "" {
		if err := w.sweep(&callers); err != nil {
			return err
		}
	} else {
		for i := range w.Callers {
			callers.Go(func() { w.call(rand.New(rand.NewPCG(w.Seed, uint64(i)+2))) })
		}
	}
	callers.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), 2*commitTimeout)
	defer cancel()
	if err := w.executor.Drain(ctx); err != nil {
		w.log.add(event{Kind: evBroken, Err: "after all calls have returned: " + err.Error()})
	}
	return nil
}

// breakVerb chooses what happens to a call of the backend.
func (w *worker) breakVerb(random *rand.Rand) func(faults.Call) faults.Fault {
	var mu sync.Mutex
	return func(faults.Call) faults.Fault {
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() >= w.Faults {
			return faults.None
		}
		d := time.Duration(random.Int64N(int64(2 * w.Times.Lease)))
		return []faults.Fault{
			faults.LoseReply, faults.LoseReply, faults.LateCall(d), faults.NotApplied, faults.Delay(d / 8), faults.DropWakeups,
		}[random.IntN(6)]
	}
}

func (w *worker) declare(s store) (err error) {
	registry, err := codec.NewErrors(codec.ErrorSet{Sentinels: map[string]error{
		"soak.errDeclined": errDeclined, "soak.errBusy": errBusy, "soak.errRefused": errRefused,
	}})
	if err != nil {
		return err
	}
	w.executor, err = idempotency.New(s, idempotency.Options{
		Retention: kept, Keep: kept, Lease: w.Times.Lease, WaitTimeout: w.Times.Wait, CommitTimeout: commitTimeout, Errors: registry,
	})
	if err != nil {
		return err
	}
	w.operations = map[byte]*idempotency.Operation[outcome]{}
	for _, policy := range policies {
		o := idempotency.OperationOptions[outcome]{
			Name: string(policy), IgnoreError: idempotency.ErrorIs(errBusy), Detach: policy == policyDetached,
		}
		switch policy {
		case policyFail:
			o.OnAbandoned = idempotency.Fail
		case policyReconcile:
			o.Reconcile = w.reconcile
		}
		if w.operations[byte(policy)], err = idempotency.NewOperation(w.executor, o); err != nil {
			return err
		}
	}
	return nil
}
