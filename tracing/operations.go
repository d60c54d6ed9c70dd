package tracing

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/idempotency"
)

// operation is what the spans and metrics of an operation have in common. It is
// made once: there are few operations, each is called often, and a sampler may
// want to see the attributes when a span begins.
type operation struct {
	run     string // the name of the spans of its calls
	options []trace.SpanStartOption
	// attributes are those of every measurement, plain the same for one that has
	// no others.
	attributes []attribute.KeyValue
	plain      metric.MeasurementOption
}

type operationName struct{ name, namespace string }

// operations are the operations that were seen. They are read at every step and
// hardly ever written, so the map is replaced, never changed.
type operations struct {
	known atomic.Pointer[map[operationName]*operation]
	mu    sync.Mutex
}

func (o *operations) of(c *config, step *idempotency.Step) *operation {
	who := operationName{step.Operation, step.Namespace}
	if known := o.known.Load(); known != nil {
		if found := (*known)[who]; found != nil {
			return found
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	grown := map[operationName]*operation{}
	if known := o.known.Load(); known != nil {
		for name, found := range *known {
			grown[name] = found
		}
	}
	if grown[who] == nil {
		grown[who] = newOperation(c, who)
		o.known.Store(&grown)
	}
	return grown[who]
}

func newOperation(c *config, who operationName) *operation {
	o := &operation{run: "idempotency.run", attributes: slices.Clone(c.attributes)}
	if who.name != "" {
		o.run += " " + printable(who.name)
		o.attributes = append(o.attributes, attribute.String("idempotency.operation", printable(who.name)))
	}
	if who.namespace != "" {
		o.attributes = append(o.attributes, attribute.String("idempotency.namespace", printable(who.namespace)))
	}
	o.plain = metric.WithAttributeSet(attribute.NewSet(o.attributes...))
	onSpans := o.attributes
	if c.backendName != "" {
		onSpans = append(slices.Clone(onSpans), attribute.String("idempotency.backend", c.backendName))
	}
	o.options = []trace.SpanStartOption{trace.WithAttributes(onSpans...)}
	return o
}

// spanName is the name of a step's span.
func (o *operation) spanName(kind idempotency.StepKind) string {
	switch kind {
	case idempotency.StepRun:
		return o.run
	case idempotency.StepClaim:
		return "idempotency.claim"
	case idempotency.StepWait:
		return "idempotency.wait"
	case idempotency.StepAction:
		return "idempotency.action"
	case idempotency.StepReconcile:
		return "idempotency.reconcile"
	case idempotency.StepCommit:
		return "idempotency.commit"
	case idempotency.StepRenew:
		return "idempotency.renew"
	}
	return "idempotency." + kind.String()
}

// printable makes a name that may be any bytes fit for an attribute: OTLP takes
// only UTF-8, and an exporter drops the whole batch for one that isn't.
func printable(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
