package main

import (
	"context"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// outcome is how one request got its answer; the example tells it in headers, to
// count it.
type outcome struct {
	how      idempotency.Outcome
	takeover bool
}

type outcomeKey struct{}

// withOutcome returns a ctx in which outcomes fills in the outcome.
func withOutcome(ctx context.Context) (context.Context, *outcome) {
	o := new(outcome)
	return context.WithValue(ctx, outcomeKey{}, o), o
}

const (
	outcomeHeader  = "Payments-Outcome"  // executed, replayed, joined, waited, refused, ...
	takeoverHeader = "Payments-Takeover" // the request took a dead instance's key over
)

func (o *outcome) writeTo(header http.Header) {
	header.Set(outcomeHeader, o.how.String())
	if o.takeover {
		header.Set(takeoverHeader, "true")
	}
}

// outcomes is the executor's observer. The two steps that it looks at run in the
// goroutine of the request; others, renewals for one, don't.
type outcomes struct{}

func (outcomes) StepStart(ctx context.Context, _ *idempotency.Step) context.Context { return ctx }

func (outcomes) StepEnd(ctx context.Context, step *idempotency.Step) {
	o, ok := ctx.Value(outcomeKey{}).(*outcome)
	if !ok {
		return
	}
	switch step.Kind {
	case idempotency.StepClaim:
		o.takeover = o.takeover || step.Takeover
	case idempotency.StepRun:
		o.how = step.Outcome
	}
}
