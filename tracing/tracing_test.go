package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// process is one traced process on a store.
type process struct {
	spans   *tracetest.SpanRecorder
	tracers *sdktrace.TracerProvider
	reader  *sdkmetric.ManualReader
	options []tracing.Option
	x       *idempotency.Executor
}

func newProcess(tb testing.TB, store backend.Backend, executor idempotency.Options, more ...tracing.Option) *process {
	tb.Helper()
	p := &process{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	p.tracers = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(p.spans))
	p.options = append([]tracing.Option{
		tracing.WithTracerProvider(p.tracers),
		tracing.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(p.reader))),
	}, more...)
	observer, err := tracing.NewObserver(p.options...)
	if err != nil {
		tb.Fatal(err)
	}
	wrapped, err := tracing.Wrap(store, p.options...)
	if err != nil {
		tb.Fatal(err)
	}
	executor.Observer = observer
	if p.x, err = idempotency.New(wrapped, executor); err != nil {
		tb.Fatal(err)
	}
	return p
}

func newStore(tb testing.TB) *memory.Backend {
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return store
}

func operation(tb testing.TB, p *process, options idempotency.OperationOptions[string]) *idempotency.Operation[string] {
	tb.Helper()
	o, err := idempotency.NewOperation(p.x, options)
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// tree prints the ended spans, children below their parents, in the order in
// which they started.
func (p *process) tree() string {
	spans := p.spans.Ended()
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	var out strings.Builder
	var print func(parent trace.SpanID, depth int)
	print = func(parent trace.SpanID, depth int) {
		for _, s := range spans {
			if s.Parent().SpanID() == parent {
				fmt.Fprintf(&out, "%s%s\n", strings.Repeat("  ", depth), s.Name())
				print(s.SpanContext().SpanID(), depth+1)
			}
		}
	}
	print(trace.SpanID{}, 0)
	return out.String()
}

func (p *process) named(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, s := range p.spans.Ended() {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("no span %q; there are:\n%s", name, p.tree())
	return nil
}

func attributeOf(s sdktrace.ReadOnlySpan, name string) string {
	for _, a := range s.Attributes() {
		if string(a.Key) == name {
			return a.Value.String()
		}
	}
	return ""
}

func wantAttributes(t *testing.T, s sdktrace.ReadOnlySpan, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := attributeOf(s, name); got != value {
			t.Errorf("span %q has %s = %q, want %q", s.Name(), name, got, value)
		}
	}
}

// wantLink checks that the span's only link leads to the execution.
func wantLink(t *testing.T, s sdktrace.ReadOnlySpan, to trace.SpanContext) {
	t.Helper()
	links := s.Links()
	if len(links) != 1 || links[0].SpanContext.TraceID() != to.TraceID() || links[0].SpanContext.SpanID() != to.SpanID() {
		t.Fatalf("span %q has links %v, want one to %v", s.Name(), links, to.SpanID())
	}
}

func ok(context.Context) (string, error) { return "answer", nil }

func TestSpansOfAnExecutionAndItsReplayElsewhere(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{Namespace: "payments"})
	charge := operation(t, p, idempotency.OperationOptions[string]{Name: "charge"})
	ctx, root := p.tracers.Tracer("app").Start(t.Context(), "POST /charges")
	_, err := charge.Run(ctx, "k", func(ctx context.Context) (string, error) {
		_, span := p.tracers.Tracer("app").Start(ctx, "gateway")
		span.End()
		return "answer", nil
	})
	root.End()
	if err != nil {
		t.Fatal(err)
	}
	want := `POST /charges
  idempotency.run charge
    idempotency.claim
      idempotency.store.claim
    idempotency.action
      gateway
    idempotency.commit
      idempotency.store.commit
`
	if got := p.tree(); got != want {
		t.Errorf("spans:\n%s\nwant:\n%s", got, want)
	}
	run := p.named(t, "idempotency.run charge")
	wantAttributes(t, run, map[string]string{
		"idempotency.outcome": "executed", "idempotency.attempt": "1", "idempotency.operation": "charge",
		"idempotency.namespace": "payments", "error.type": "",
	})
	wantAttributes(t, p.named(t, "idempotency.commit"), map[string]string{"idempotency.ending": "complete", "idempotency.sends": "1"})
	wantAttributes(t, p.named(t, "idempotency.store.claim"), map[string]string{"idempotency.backend": "memory", "idempotency.state": "claimed"})
	if run.Status().Code != codes.Unset {
		t.Errorf("status %v", run.Status())
	}

	other := newProcess(t, store, idempotency.Options{Namespace: "payments"})
	if _, err := operation(t, other, idempotency.OperationOptions[string]{Name: "charge"}).Run(t.Context(), "k", ok); err != nil {
		t.Fatal(err)
	}
	replay := other.named(t, "idempotency.run charge")
	wantAttributes(t, replay, map[string]string{"idempotency.outcome": "replayed", "idempotency.attempt": "1"})
	wantLink(t, replay, run.SpanContext())
}

func TestJoinedAndWaitingCallsLinkToTheExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		here := newProcess(t, store, idempotency.Options{})
		there := newProcess(t, store, idempotency.Options{})
		var wg sync.WaitGroup
		call := func(p *process) {
			wg.Go(func() {
				operation(t, p, idempotency.OperationOptions[string]{Name: "charge"}).Run(t.Context(), "k", func(context.Context) (string, error) {
					time.Sleep(time.Second)
					return "", nil
				})
			})
			synctest.Wait()
		}
		call(here)
		call(here)
		call(there)
		wg.Wait()
		var executed trace.SpanContext
		var joined sdktrace.ReadOnlySpan
		for _, s := range here.spans.Ended() {
			switch attributeOf(s, "idempotency.outcome") {
			case "executed":
				executed = s.SpanContext()
			case "joined":
				joined = s
			}
		}
		if joined == nil {
			t.Fatal("no joined call")
		}
		wantLink(t, joined, executed)
		waited := there.named(t, "idempotency.run charge")
		wantAttributes(t, waited, map[string]string{"idempotency.outcome": "waited", "idempotency.wait.duration": "1"})
		wantLink(t, waited, executed)
	})
}

func TestUnsampledParentsStayUnsampledAndStillLead(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	ids := trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true}
	unsampled := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(ids))
	operation(t, p, idempotency.OperationOptions[string]{}).Run(unsampled, "k", ok)
	if spans := p.spans.Ended(); len(spans) != 0 {
		t.Errorf("%d spans of an unsampled trace were recorded", len(spans))
	}
	operation(t, p, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	links := p.named(t, "idempotency.run").Links()
	if len(links) != 1 || links[0].SpanContext.TraceID() != ids.TraceID || links[0].SpanContext.IsSampled() {
		t.Errorf("links: %v", links)
	}
}

func TestErrorsHaveTypesAndNoTexts(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	o := operation(t, p, idempotency.OperationOptions[string]{Name: "o"})
	o.Run(t.Context(), "e", func(context.Context) (string, error) { return "", io.ErrUnexpectedEOF })
	wantAttributes(t, p.named(t, "idempotency.action"), map[string]string{"error.type": "*errors.errorString"})
	run := p.named(t, "idempotency.run o")
	if run.Status().Code != codes.Error || run.Status().Description != "" || len(run.Events()) != 0 {
		t.Errorf("status %+v, events %v", run.Status(), run.Events())
	}
	p.spans.Reset()
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic didn't go on")
			}
		}()
		o.Run(t.Context(), "p", func(context.Context) (string, error) { panic("boom") })
	}()
	if run := p.named(t, "idempotency.run o"); run.Status().Code != codes.Error {
		t.Errorf("a panic's span: %+v", run.Status())
	}
	p.spans.Reset()
	if _, err := o.Run(t.Context(), "p", ok); err == nil {
		t.Error("the panic wasn't recorded")
	}
	wantAttributes(t, p.named(t, "idempotency.run o"), map[string]string{"error.type": "panic", "idempotency.outcome": "replayed"})
}

// metrics are the instruments that have data, with the sum or count of their
// points by their attributes.
func (p *process) metrics(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := p.reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]float64{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			points := map[string]float64{}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, point := range d.DataPoints {
					points[labelsOf(point.Attributes)] = float64(point.Value)
				}
			case metricdata.Histogram[float64]:
				if m.Unit != "s" {
					t.Errorf("%s is in %q", m.Name, m.Unit)
				}
				for _, point := range d.DataPoints {
					points[labelsOf(point.Attributes)] = float64(point.Count)
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
			found[m.Name] = points
		}
	}
	return found
}

func labelsOf(set attribute.Set) string {
	var out []string
	for _, a := range set.ToSlice() {
		out = append(out, strings.TrimPrefix(string(a.Key), "idempotency.")+"="+a.Value.String())
	}
	return strings.Join(out, " ")
}

func TestMetricsAnswerTheQuestionsOfWhoIsOnCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		p := newProcess(t, store, idempotency.Options{Lease: time.Second, MaxHold: 5 * time.Second})
		fail := operation(t, p, idempotency.OperationOptions[string]{Name: "fail", OnAbandoned: idempotency.Fail})
		rerun := operation(t, p, idempotency.OperationOptions[string]{Name: "fail"})
		ctx, cancel := context.WithCancel(t.Context())
		cut := func(ctx context.Context) (string, error) { cancel(); return "", ctx.Err() }
		fail.Run(ctx, "a", cut)
		fail.Run(t.Context(), "a", ok)  // undecided
		rerun.Run(t.Context(), "a", ok) // taken over
		rerun.Run(t.Context(), "a", ok) // replayed
		// Longer than MaxHold: the lease is lost.
		rerun.Run(t.Context(), "b", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		rerun.Run(t.Context(), "c", func(ctx context.Context) (string, error) { time.Sleep(2 * time.Second); return "", nil })
		got := p.metrics(t)
		for _, want := range []struct {
			name, labels string
			value        float64
		}{
			{"idempotency.calls", "operation=fail outcome=replayed", 1},
			{"idempotency.calls", "operation=fail outcome=executed", 2},
			{"idempotency.undecided", "operation=fail", 1},
			{"idempotency.takeovers", "operation=fail", 1},
			{"idempotency.abandonments", "operation=fail", 2},
			{"idempotency.lease.losses", "operation=fail", 1},
			{"idempotency.executions.active", "operation=fail", 0},
			{"idempotency.action.duration", "operation=fail", 2},
			{"idempotency.store.duration", "backend=memory verb=commit", 4},
		} {
			if value, ok := got[want.name][want.labels]; !ok || value != want.value {
				t.Errorf("%s{%s} is %v, want %v; there are %v", want.name, want.labels, value, want.value, got[want.name])
			}
		}
		if renewals := got["idempotency.lease.renewals"]["operation=fail"]; renewals < 10 {
			t.Errorf("%v renewals", renewals)
		}
	})
}

// The table of the package comment is what dashboards are built on.
func TestTheTableOfMetricsIsTrue(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^//\t(idempotency\.[a-z._]+)\s+(Counter|Histogram|UpDownCounter|ObservableCounter)\s+(\S+)\s`)
	var documented []string
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		documented = append(documented, strings.Join(m[1:], " "))
	}
	meters := &recordingMeter{}
	options := []tracing.Option{tracing.WithMeterProvider(meters)}
	if _, err := tracing.NewObserver(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := tracing.Wrap(counting{newStore(t)}, options...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(documented)
	slices.Sort(meters.made)
	if !slices.Equal(documented, meters.made) {
		t.Errorf("documented:\n%s\nmade:\n%s", strings.Join(documented, "\n"), strings.Join(meters.made, "\n"))
	}
}

type counting struct{ *memory.Backend }

func (counting) CacheHits() uint64 { return 7 }

func TestNothingPrivateIsExported(t *testing.T) {
	const key, payload, fingerprint = "s3cret-key", "s3cret-payload", "s3cret-fingerprint"
	store := newStore(t)
	run := func(options ...tracing.Option) string {
		p := newProcess(t, store, idempotency.Options{}, options...)
		o := operation(t, p, idempotency.OperationOptions[string]{Name: "o"})
		for _, k := range []string{key, key, key + "-error", key + "-error"} {
			o.Do(t.Context(), idempotency.Call{Key: k, Fingerprint: []byte(fingerprint)}, func(context.Context) (string, error) {
				if k != key {
					return "", errors.New(payload)
				}
				return payload, nil
			})
		}
		o.Do(t.Context(), idempotency.Call{Key: key, Fingerprint: []byte("other")}, ok)
		var exported strings.Builder
		for _, s := range p.spans.Ended() {
			fmt.Fprintln(&exported, s.Name(), s.Attributes(), s.Status(), s.Events(), s.Links())
		}
		fmt.Fprintln(&exported, p.metrics(t))
		return exported.String()
	}
	if exported := run(); strings.Contains(exported, "s3cret") {
		t.Errorf("exported:\n%s", exported)
	}
	hashed := run(tracing.WithKeyAttribute(tracing.KeyHash([]byte("0123456789abcdef"))))
	if strings.Contains(hashed, "s3cret") || !strings.Contains(hashed, "idempotency.key_hash") {
		t.Errorf("exported with a hash:\n%s", hashed)
	}
	if raw := run(tracing.WithKeyAttribute(tracing.RawKey())); !strings.Contains(raw, key) || strings.Contains(raw, payload) {
		t.Errorf("exported with the raw key:\n%s", raw)
	}
}

func TestBaggageStaysOutOfTheRecord(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{},
		tracing.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})))
	carrier := propagation.MapCarrier{
		"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=1", "baggage": "user=s3cret",
	}
	ctx := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}).Extract(t.Context(), carrier)
	o := operation(t, p, idempotency.OperationOptions[string]{})
	o.Run(ctx, "k", ok)
	record, err := store.Fetch(t.Context(), "\x00k")
	if err != nil || strings.Contains(string(record.Metadata), "s3cret") || !strings.Contains(string(record.Metadata), "vendor=1") {
		t.Errorf("metadata %q, %v", record.Metadata, err)
	}
	p.spans.Reset()
	o.Run(t.Context(), "k", ok)
	if links := p.named(t, "idempotency.run").Links(); len(links) != 1 || links[0].SpanContext.TraceState().String() != "vendor=1" {
		t.Errorf("links: %v", links)
	}
}

func TestWrapKeepsTheOptionalInterfaces(t *testing.T) {
	type bare struct{ backend.Backend }
	type closes struct {
		backend.Backend
		io.Closer
	}
	store := newStore(t)
	for _, test := range []struct {
		store                  backend.Backend
		forgets, closes, count bool
	}{
		{bare{store}, false, false, false},
		{closes{store, store}, false, true, false},
		{store, true, true, false},
		{counting{store}, true, true, true},
	} {
		wrapped, err := tracing.Wrap(test.store)
		if err != nil {
			t.Fatal(err)
		}
		_, forgets := wrapped.(backend.Forgetter)
		_, closes := wrapped.(io.Closer)
		_, counts := wrapped.(tracing.CacheCounter)
		if forgets != test.forgets || closes != test.closes || counts != test.count {
			t.Errorf("%T: Forgetter %v, Closer %v, CacheCounter %v", test.store, forgets, closes, counts)
		}
	}
	for _, nothing := range []backend.Backend{nil, (*memory.Backend)(nil)} {
		if _, err := tracing.Wrap(nothing); err == nil {
			t.Errorf("%T was wrapped", nothing)
		}
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, o := range []tracing.Option{
		nil, tracing.WithTracerProvider(nil), tracing.WithMeterProvider(nil), tracing.WithPropagator(nil),
		tracing.WithAttributes(attribute.KeyValue{}), tracing.WithBackendName(""), tracing.WithKeyAttribute(nil),
		tracing.WithKeyAttribute(tracing.KeyHash(nil)), tracing.WithKeyAttribute(tracing.KeyHash([]byte("fifteen bytes.."))),
	} {
		if _, err := tracing.NewObserver(o); err == nil {
			t.Error("a bad option was taken")
		}
	}
}
