package tracing

import (
	"context"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// Observer is an [idempotency.Observer] that makes spans and metrics. It is safe
// for concurrent use by any number of executors.
type Observer struct {
	config *config
	tracer trace.Tracer
	meters *callMetrics
	// options are the []trace.SpanStartOption by operation.
	options sync.Map
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
	switch step.Kind {
	case idempotency.StepClaim:
		// Before the claim's own span begins: the record leads to the whole call.
		step.Carrier = carry(ctx, o.config.propagator)
	case idempotency.StepAction:
		o.meters.running(ctx, 1, step)
	}
	options := o.startOptions(step)
	if o.config.key != nil {
		options = append(options[:len(options):len(options)], trace.WithAttributes(o.config.key(step.Key)))
	}
	ctx, _ = o.tracer.Start(ctx, spanName(step), options...)
	return ctx
}

// startOptions are the attributes that all spans of an operation begin with. They
// are made once: there are few operations, and a sampler may want to see them.
func (o *Observer) startOptions(step *idempotency.Step) []trace.SpanStartOption {
	who := operation{step.Operation, step.Namespace}
	if known, ok := o.options.Load(who); ok {
		return known.([]trace.SpanStartOption)
	}
	attributes := who.append(slices.Clone(o.config.attributes))
	known, _ := o.options.LoadOrStore(who, []trace.SpanStartOption{trace.WithAttributes(attributes...)})
	return known.([]trace.SpanStartOption)
}

// operation is what the spans and metrics of an operation have in common.
type operation struct{ name, namespace string }

func (o operation) append(attributes []attribute.KeyValue) []attribute.KeyValue {
	if o.name != "" {
		attributes = append(attributes, attribute.String("idempotency.operation", o.name))
	}
	if o.namespace != "" {
		attributes = append(attributes, attribute.String("idempotency.namespace", o.namespace))
	}
	return attributes
}

func spanName(step *idempotency.Step) string {
	name := "idempotency." + step.Kind.String()
	if step.Kind == idempotency.StepRun && step.Operation != "" {
		name += " " + step.Operation
	}
	return name
}

// StepEnd implements [idempotency.Observer].
func (o *Observer) StepEnd(ctx context.Context, step *idempotency.Step) {
	o.meters.ended(ctx, step)
	span := trace.SpanFromContext(ctx)
	defer span.End()
	if !span.IsRecording() {
		return
	}
	if origin := uncarry(step.Origin, o.config.propagator); origin.IsValid() {
		span.AddLink(trace.Link{SpanContext: origin, Attributes: []attribute.KeyValue{
			attribute.String("idempotency.link", "execution"),
		}})
	}
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

// setError marks a span as failed, without the error's text.
func setError(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(attribute.String("error.type", idempotency.ErrorType(err)))
		span.SetStatus(codes.Error, "")
	}
}
