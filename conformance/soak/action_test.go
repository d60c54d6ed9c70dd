//go:build unix

package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// act is the action of every key: it takes some time, has its effect on the
// ledger, and answers with what names this run.
func (w *worker) act(ctx context.Context, key string, random *rand.Rand) (outcome, error) {
	execution, _ := idempotency.ExecutionOf(ctx)
	w.log.add(event{Kind: evRun, Key: key, Attempt: execution.Attempt, Fence: execution.Fence})
	nature := natureOf(key)

	// Some actions are longer than a lease, and some take no notice of their ctx.
	d := time.Duration(random.Int64N(int64(12 * time.Millisecond)))
	if random.IntN(12) == 0 {
		d = w.Times.Lease/2 + time.Duration(random.Int64N(int64(w.Times.Lease)))
	}
	listens := random.IntN(4) > 0
	timer := time.NewTimer(d)
	defer timer.Stop()
	if listens {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return outcome{}, ctx.Err()
		}
	} else {
		<-timer.C
	}
	if int(execution.Attempt) <= nature.busy {
		return outcome{}, errBusy
	}
	w.crash.at("before effect", key)
	// With its fence: on two histories of the store a worker may run one attempt twice.
	value := fmt.Sprintf("run %d of %s by %d under %d", execution.Attempt, key, w.ID, execution.Fence)
	if nature.declined {
		value = errDeclined.Error() + ": " + value
	}
	accepted, err := w.ledger.effect(key, execution.Fence, execution.Attempt, value)
	if err != nil {
		panic(err)
	}
	if !accepted {
		return outcome{}, errRefused
	}
	w.crash.at("after effect", key)
	return outcomeOf(key, value)
}

// outcomeOf is the outcome that the ledger has as value.
func outcomeOf(key, value string) (outcome, error) {
	if text, declined := strings.CutPrefix(value, errDeclined.Error()+": "); declined {
		return outcome{}, fmt.Errorf("%w: %s", errDeclined, text)
	}
	o := outcome{ID: value}
	if natureOf(key).large {
		o.Pad = padding
	}
	return o, nil
}

// reconcile asks the ledger what the attempts before did.
func (w *worker) reconcile(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[outcome], error) {
	execution, _ := idempotency.ExecutionOf(ctx)
	e := event{Kind: evReconcile, Key: abandoned.Key, Attempt: execution.Attempt, Fence: execution.Fence, Seen: abandoned.Fence}
	w.crash.at("reconciling", abandoned.Key)
	if (hashOf(abandoned.Key)+execution.Attempt)%10 == 0 {
		e.What = "unknown"
		w.log.add(e)
		return idempotency.Unknown[outcome](), nil
	}
	effect, found, err := w.ledger.ask(abandoned.Key, execution.Fence)
	if err != nil {
		panic(err)
	}
	if !found {
		e.What = "run again"
		w.log.add(e)
		return idempotency.RunAgain[outcome](), nil
	}
	e.What, e.Value = "answer", effect.Value
	w.log.add(e)
	return idempotency.Answer(outcomeOf(abandoned.Key, effect.Value)), nil
}

// resolve is what support staff do: they look at the ledger and put an answer into
// a key that is abandoned. Several may do so at once; one succeeds.
func (w *worker) resolve(key string) {
	value := fmt.Sprintf("resolved %s by %d at %d", key, w.ID, now())
	var err error
	if hashOf(value)%3 == 0 {
		value = errDeclined.Error() + ": " + value
	}
	answer, outcomeErr := outcomeOf(key, value)
	answer.Pad = ""
	w.log.add(event{Kind: evResolve, Key: key, Value: value})
	ctx, cancel := context.WithTimeout(context.Background(), w.Times.Call)
	defer cancel()
	if err = w.operations[policyOf(key)].Resolve(ctx, key, answer, outcomeErr); err != nil {
		w.log.add(event{Kind: evNote, Key: key, What: "not resolved", Err: err.Error()})
	}
}
