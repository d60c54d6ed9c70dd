//go:build unix

package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

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

// sweep calls every key of a list, until each has an answer or waits for a
// decision that its policy leaves to others.
func (w *worker) sweep(callers *sync.WaitGroup) error {
	data, err := os.ReadFile(w.Sweep)
	if err != nil {
		return err
	}
	keys := make(chan string)
	for range w.Callers {
		callers.Go(func() {
			for key := range keys {
				w.settle(key)
			}
		})
	}
	for key := range strings.Lines(string(data)) {
		keys <- strings.TrimSuffix(key, "\n")
	}
	close(keys)
	return nil
}

// settlePatience is how long a key may go without an answer when all is well
// again.
const settlePatience = 30 * time.Second

func (w *worker) settle(key string) {
	mayAbandon := policyOf(key) == policyFail || policyOf(key) == policyReconcile
	for deadline := time.Now().Add(settlePatience); ; {
		got := w.do(key, limits{deadline: w.Times.Call}, 0)
		if got == gotValue || got == gotError || got == gotAbandoned && mayAbandon {
			return
		}
		if time.Now().After(deadline) {
			w.log.add(event{Kind: evUnsettled, Key: key, What: got})
			return
		}
	}
}

type limits struct {
	deadline, wait time.Duration
	noWait         bool
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
