package tracing

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// seconds are histogram boundaries from a store's round trip to a slow payment
// provider.
var seconds = metric.WithExplicitBucketBoundaries(
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)

// callMetrics are the instruments of an [Observer]. The table of the package
// comment is their contract.
type callMetrics struct {
	calls, joined, renewals, losses, takeovers, abandonments metric.Int64Counter
	undecided, unprotected, fenced, retries, failures        metric.Int64Counter
	action, wait                                             metric.Float64Histogram
	active                                                   metric.Int64UpDownCounter
}

func newCallMetrics(c *config) (*callMetrics, error) {
	meter := c.meters.Meter(scope)
	m := &callMetrics{}
	var failed []error
	counter := func(name, unit, description string) metric.Int64Counter {
		i, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		failed = append(failed, err)
		return i
	}
	histogram := func(name, description string) metric.Float64Histogram {
		i, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), seconds)
		failed = append(failed, err)
		return i
	}
	m.calls = counter("idempotency.calls", "{call}", "Calls by how they got their answer.")
	m.action = histogram("idempotency.action.duration", "Time that actions took.")
	m.wait = histogram("idempotency.wait.duration", "Time that calls waited for others that held their key.")
	m.joined = counter("idempotency.joined_calls", "{call}", "Calls that shared the run of another one in their process.")
	m.renewals = counter("idempotency.lease.renewals", "{renewal}", "Renewals of leases of running actions.")
	m.losses = counter("idempotency.lease.losses", "{lease}", "Actions whose ctx was ended because their lease was lost.")
	m.takeovers = counter("idempotency.takeovers", "{takeover}", "Abandoned keys that were taken over.")
	m.abandonments = counter("idempotency.abandonments", "{claim}", "Claims that ended with nobody knowing what their action did.")
	m.undecided = counter("idempotency.undecided", "{call}", "Calls that met an abandoned key on which nobody has decided.")
	m.unprotected = counter("idempotency.executions.unprotected", "{execution}", "Actions that ran although the store was down.")
	m.fenced = counter("idempotency.commit.fenced", "{commit}", "Endings refused because another holder had taken over.")
	m.retries = counter("idempotency.commit.retries", "{request}", "Repeated requests to end a claim.")
	m.failures = counter("idempotency.commit.failures", "{commit}", "Endings that the store didn't confirm.")
	active, err := meter.Int64UpDownCounter("idempotency.executions.active",
		metric.WithUnit("{execution}"), metric.WithDescription("Actions that are running."))
	m.active = active
	return m, errors.Join(append(failed, err)...)
}

// labels are the attributes of a measurement beside its operation's; empty ones
// are left out.
type labels struct {
	outcome, ending string
	err             error
}

func (l labels) of(o *operation) metric.MeasurementOption {
	if l.outcome == "" && l.ending == "" && l.err == nil {
		return o.plain
	}
	attributes := append(make([]attribute.KeyValue, 0, len(o.attributes)+3), o.attributes...)
	if l.outcome != "" {
		attributes = append(attributes, attribute.String("idempotency.outcome", l.outcome))
	}
	if l.ending != "" {
		attributes = append(attributes, attribute.String("idempotency.ending", l.ending))
	}
	if l.err != nil {
		attributes = append(attributes, errorType(l.err))
	}
	return metric.WithAttributeSet(attribute.NewSet(attributes...))
}

// add, record and running make a measurement's attributes only where it goes
// somewhere.
func (m *callMetrics) add(ctx context.Context, counter metric.Int64Counter, n int, o *operation, l labels) {
	if counter.Enabled(ctx) {
		counter.Add(ctx, int64(n), l.of(o))
	}
}

func (m *callMetrics) record(ctx context.Context, histogram metric.Float64Histogram, d time.Duration, o *operation, l labels) {
	if histogram.Enabled(ctx) {
		histogram.Record(ctx, d.Seconds(), l.of(o))
	}
}

func (m *callMetrics) running(ctx context.Context, n int64, o *operation) {
	if m.active.Enabled(ctx) {
		m.active.Add(ctx, n, o.plain)
	}
}

func (m *callMetrics) ended(ctx context.Context, step *idempotency.Step, o *operation) {
	switch step.Kind {
	case idempotency.StepRun:
		outcome := step.Outcome.String()
		m.add(ctx, m.calls, 1, o, labels{outcome: outcome, err: step.Err})
		if step.Waited > 0 {
			m.record(ctx, m.wait, step.Waited, o, labels{outcome: outcome})
		}
		if step.Unprotected && step.Outcome == idempotency.Executed {
			m.add(ctx, m.unprotected, 1, o, labels{})
		}
		switch step.Outcome {
		case idempotency.Joined:
			m.add(ctx, m.joined, 1, o, labels{})
		case idempotency.GaveUp:
			m.add(ctx, m.undecided, 1, o, labels{})
		}
	case idempotency.StepAction:
		m.running(ctx, -1, o)
		m.record(ctx, m.action, step.Duration, o, labels{err: step.Err})
		if step.LeaseLost {
			m.add(ctx, m.losses, 1, o, labels{})
		}
	case idempotency.StepClaim:
		if step.Takeover {
			m.add(ctx, m.takeovers, 1, o, labels{})
		}
	case idempotency.StepRenew:
		m.add(ctx, m.renewals, 1, o, labels{err: step.Err})
	case idempotency.StepCommit:
		ending := step.Ending.String()
		if step.Sends > 1 {
			m.add(ctx, m.retries, step.Sends-1, o, labels{ending: ending})
		}
		switch {
		case step.Superseded:
			m.add(ctx, m.fenced, 1, o, labels{ending: ending})
		case step.Unfinished: // the step in the background tells how it ended
		case step.Err != nil:
			m.add(ctx, m.failures, 1, o, labels{ending: ending, err: step.Err})
		case step.Ending == backend.Abandon:
			m.add(ctx, m.abandonments, 1, o, labels{})
		}
	}
}
