package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// requestHeader is the ID that the balancer gives a request.
const requestHeader = "Demo-Request"

type requestKey struct{}

// numbered puts the request's ID into its ctx, where the observer finds it.
func numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, err := strconv.ParseInt(r.Header.Get(requestHeader), 10, 64); err == nil {
			r = r.WithContext(context.WithValue(r.Context(), requestKey{}, id))
		}
		next.ServeHTTP(w, r)
	})
}

// reporter is the executor's observer: it tells every step of a request to
// whoever started the instance, when it begins and when it ends. The page shows
// nothing that doesn't come from here, from the balancer or from the ledger.
type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func newReporter(w io.Writer) *reporter { return &reporter{out: json.NewEncoder(w)} }

// StepStart tells that a step begins.
func (p *reporter) StepStart(ctx context.Context, step *idempotency.Step) context.Context {
	p.tell(ctx, report{Kind: step.Kind.String()})
	return ctx
}

// StepEnd tells what came of it.
func (p *reporter) StepEnd(ctx context.Context, step *idempotency.Step) {
	e := report{Kind: step.Kind.String(), End: true, Attempt: step.Attempt, Takeover: step.Takeover, Err: step.Err != nil}
	if step.Kind == idempotency.StepRun {
		e.Outcome = step.Outcome.String()
	}
	p.tell(ctx, e)
}

// tell writes a report at once: an instance may be killed at any time. Renewals
// belong to no request and are left out.
func (p *reporter) tell(ctx context.Context, e report) {
	id, ok := ctx.Value(requestKey{}).(int64)
	if !ok || e.Kind == idempotency.StepRenew.String() {
		return
	}
	e.Request, e.At = id, time.Now().UnixMilli()
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(e)
}

// watched reports a handler that runs without the library.
func (p *reporter) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.tell(r.Context(), report{Kind: idempotency.StepAction.String()})
		defer p.tell(r.Context(), report{Kind: idempotency.StepAction.String(), End: true})
		next.ServeHTTP(w, r)
	})
}
