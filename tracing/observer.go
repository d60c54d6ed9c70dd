package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// Observer is an [idempotency.Observer] that makes spans and metrics. It is safe
// for concurrent use by any number of executors.
type Observer struct {
	config     *config
	tracer     trace.Tracer
	meters     *callMetrics
	operations operations
}

// NewObserver makes an observer. It fails for an invalid option, or where the
// meter provider refuses an instrument.
func NewObserver(options ...Option) (*Observer, error) {
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	meters, err := newCallMetrics(c)
	if err != nil {
		return nil, err
	}
	return &Observer{config: c, tracer: c.tracers.Tracer(scope), meters: meters}, nil
}

// StepStart implements [idempotency.Observer].
func (o *Observer) StepStart(ctx context.Context, step *idempotency.Step) context.Context {
	known := o.operations.of(o.config, step)
	switch step.Kind {
	case idempotency.StepClaim:
		// Before the claim's own span begins: the record leads to the whole call.
		step.Carrier = carry(ctx, o.config.propagator)
	case idempotency.StepAction:
		o.meters.running(ctx, 1, known)
	}
	options := known.options
	if o.config.key != nil {
		key := o.config.key(step.Key)
		options = append(options[:len(options):len(options)], trace.WithAttributes(key))
	}
	ctx, _ = o.tracer.Start(ctx, known.spanName(step.Kind), options...)
	return ctx
}

// StepEnd implements [idempotency.Observer].
func (o *Observer) StepEnd(ctx context.Context, step *idempotency.Step) {
	o.meters.ended(ctx, step, o.operations.of(o.config, step))
	span := trace.SpanFromContext(ctx)
	defer span.End()
	if !span.IsRecording() {
		return
	}
	o.link(span, step)
	attributes := make([]attribute.KeyValue, 0, 8)
	if step.Attempt != 0 || step.Fence != 0 {
		attributes = append(attributes,
			attribute.Int64("idempotency.attempt", int64(step.Attempt)), attribute.Int64("idempotency.fence", int64(step.Fence)))
	}
	switch step.Kind {
	case idempotency.StepRun:
		attributes = append(attributes, attribute.String("idempotency.outcome", step.Outcome.String()))
		if step.Unprotected {
			attributes = append(attributes, attribute.Bool("idempotency.unprotected", true))
		}
		if step.Waited > 0 {
			attributes = append(attributes, attribute.Float64("idempotency.wait.duration", step.Waited.Seconds()))
		}
	case idempotency.StepWait:
		attributes = append(attributes, attribute.Float64("idempotency.wait.duration", step.Waited.Seconds()))
	case idempotency.StepClaim:
		attributes = append(attributes, attribute.Int("idempotency.sends", step.Sends))
		if step.Takeover {
			attributes = append(attributes, attribute.Bool("idempotency.takeover", true))
		}
	case idempotency.StepCommit:
		attributes = append(attributes, attribute.String("idempotency.ending", step.Ending.String()),
			attribute.Int("idempotency.sends", step.Sends))
		if step.Ending == backend.Complete {
			attributes = append(attributes, attribute.Int("idempotency.payload.size", step.Size))
		}
		if step.Superseded {
			attributes = append(attributes, attribute.Bool("idempotency.superseded", true))
		}
	case idempotency.StepAction, idempotency.StepRenew:
		if step.LeaseLost {
			attributes = append(attributes, attribute.Bool("idempotency.lease.lost", true))
		}
	}
	span.SetAttributes(attributes...)
	setError(span, step.Err)
}

// link leads from the span to the call whose answer it got or waited for, and from
// a takeover, a Reconcile and a call that gave up to the call that died.
func (o *Observer) link(span trace.Span, step *idempotency.Step) {
	origin := uncarry(step.Origin, o.config.propagator)
	// A call that recorded what its Reconcile found gets that record as its answer:
	// it would lead to itself.
	own := span.SpanContext()
	if !origin.IsValid() || origin.TraceID() == own.TraceID() && origin.SpanID() == own.SpanID() {
		return
	}
	to := "execution"
	switch {
	case step.Kind == idempotency.StepReconcile, step.Kind == idempotency.StepClaim, step.Outcome == idempotency.GaveUp:
		to = "abandoned"
	}
	span.AddLink(trace.Link{SpanContext: origin, Attributes: []attribute.KeyValue{attribute.String("idempotency.link", to)}})
}

// errorType never is empty: the conventions say what stands for an error without
// a type.
func errorType(err error) attribute.KeyValue {
	name := idempotency.ErrorType(err)
	if name == "" {
		name = "_OTHER"
	}
	return attribute.String("error.type", name)
}

// setError marks a span as failed, without the error's text.
func setError(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(errorType(err))
		span.SetStatus(codes.Error, "")
	}
}
