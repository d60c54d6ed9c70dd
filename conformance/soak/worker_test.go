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
	"strings"
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

// call is one caller: it makes calls, and makes a call again that brought no
// answer.
func (w *worker) call(random *rand.Rand) {
	for !w.stopping.Load() {
		key := w.Pace.pick(random, now()-w.Start)
		for range 3 {
			limits := limits{deadline: w.Times.Call}
			switch n := random.IntN(100); {
			case n < 4:
				limits.deadline = time.Duration(1+random.IntN(60)) * time.Millisecond
			case n < 8:
				limits.noWait = true
			case n < 14:
				limits.wait = time.Duration(20+random.IntN(500)) * time.Millisecond
			}
			got := w.do(key, limits, random.Int64())
			w.crash.at("answered", key)
			if got == gotAbandoned && policyOf(key) == policyFail && random.IntN(3) == 0 {
				w.resolve(key)
			}
			if got == gotValue || got == gotError || w.stopping.Load() {
				break
			}
		}
		time.Sleep(time.Duration(random.IntN(4)) * time.Millisecond)
	}
}

// sweep calls every key of a list, until each has an answer.
func (w *worker) sweep(callers *sync.WaitGroup) error {
	data, err := os.ReadFile(w.Sweep)
	if err != nil {
		return err
	}
	keys := make(chan string)
	for range w.Callers {
		callers.Go(func() {
			for key := range keys {
				for range 10 {
					got := w.do(key, limits{deadline: w.Times.Call + w.Times.Slack, final: true}, 0)
					if got == gotValue || got == gotError || got == gotAbandoned {
						break
					}
				}
			}
		})
	}
	for key := range strings.Lines(string(data)) {
		keys <- strings.TrimSuffix(key, "\n")
	}
	close(keys)
	return nil
}

type limits struct {
	deadline, wait time.Duration
	noWait         bool
	final          bool // a call of the sweep
}

// do makes one call, and writes down what it got and when.
func (w *worker) do(key string, l limits, seed int64) (got string) {
	began := now()
	ctx, cancel := context.WithTimeout(context.Background(), l.deadline)
	defer cancel()
	result, err := w.operations[policyOf(key)].Do(ctx, idempotency.Call{Key: key, NoWait: l.noWait, WaitTimeout: l.wait, Fingerprint: []byte(key)},
		func(ctx context.Context) (outcome, error) {
			return w.act(ctx, key, rand.New(rand.NewPCG(uint64(seed), 0)))
		})
	e := event{
		Kind: evAnswer, At: now(), Key: key, Sent: began, Until: began + int64(l.deadline), How: result.Outcome.String(),
		Attempt: result.Attempt, Fence: result.Fence,
	}
	if l.final {
		e.How = "sweep " + e.How
	}
	e.What, e.Value = classify(ctx, result, err)
	if e.What == gotTimeout && l.wait != 0 {
		e.Until = min(e.Until, began+int64(l.wait))
	}
	if err != nil && e.What != gotError {
		e.Err = err.Error()
	}
	if e.What == gotValue && natureOf(key).large != (result.Value.Pad == padding) && !strings.HasPrefix(e.Value, "resolved") {
		w.log.add(event{Kind: evBroken, Key: key, Err: fmt.Sprintf("the answer's padding has %d bytes and isn't what the action returned", len(result.Value.Pad))})
	}
	w.log.add(e)
	return e.What
}

// classify says what a call got. Only a value and an error are outcomes of the
// key.
func classify(ctx context.Context, result idempotency.Result[outcome], err error) (got, value string) {
	var replayed *idempotency.ReplayedError
	var commit *idempotency.CommitError
	switch {
	case err == nil:
		return gotValue, result.Value.ID
	case errors.As(err, &commit):
		return gotUnsure, ""
	case errors.As(err, &replayed):
		return gotError, err.Error()
	case errors.Is(err, idempotency.ErrLeaseLost):
		return gotLost, ""
	case errors.Is(err, idempotency.ErrAbandoned):
		return gotAbandoned, ""
	case errors.Is(err, idempotency.ErrWaitTimeout):
		return gotTimeout, ""
	case errors.Is(err, idempotency.ErrInProgress):
		return gotBusy, ""
	case errors.Is(err, errBusy):
		return gotReleased, ""
	case errors.Is(err, errDeclined):
		return gotError, err.Error()
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return gotEnded, ""
	default:
		return gotFailed, ""
	}
}
