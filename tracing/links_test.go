package tracing_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	redigolib "github.com/gomodule/redigo/redis"
	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// cutShort leaves the key abandoned.
func cutShort(t *testing.T, o *idempotency.Operation[string], key string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := o.Run(ctx, key, func(ctx context.Context) (string, error) { cancel(); return "", ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Fatalf("the action wasn't cut short: %v", err)
	}
}

func TestCallsOfASampledParentAreItsChildren(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	caller := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true,
	})
	operation(t, p, idempotency.OperationOptions[string]{}).Run(trace.ContextWithRemoteSpanContext(t.Context(), caller), "k", ok)
	run := p.named(t, "idempotency.run")
	if run.Parent().SpanID() != caller.SpanID() || run.SpanContext().TraceID() != caller.TraceID() {
		t.Errorf("the parent is %v", run.Parent())
	}
	other := newProcess(t, store, idempotency.Options{})
	operation(t, other, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	replay := other.named(t, "idempotency.run")
	wantLink(t, replay, run.SpanContext())
	if !replay.Links()[0].SpanContext.IsSampled() || attributeOfLink(replay.Links()[0]) != "execution" {
		t.Errorf("link %+v", replay.Links()[0])
	}
	if replay.SpanContext().TraceID() == caller.TraceID() {
		t.Error("the replay is in the trace of the execution")
	}
}

func attributeOfLink(l sdktrace.Link) string {
	for _, a := range l.Attributes {
		if a.Key == "idempotency.link" {
			return a.Value.AsString()
		}
	}
	return ""
}

// What Reconcile answers is recorded by the call that asked it. It leads to the
// call that died, later replays lead to it, and it doesn't lead to itself.
func TestAReconciledCallLeadsToTheOneThatDied(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	cutShort(t, operation(t, p, idempotency.OperationOptions[string]{Name: "o"}), "k")
	died := p.named(t, "idempotency.run o").SpanContext()

	other := newProcess(t, store, idempotency.Options{})
	o := operation(t, other, idempotency.OperationOptions[string]{
		Name: "o",
		Reconcile: func(ctx context.Context, _ idempotency.Abandoned) (idempotency.Decision[string], error) {
			_, span := other.tracers.Tracer("app").Start(ctx, "ask")
			span.End()
			return idempotency.Answer("found", nil), nil
		},
	})
	if value, err := o.Run(t.Context(), "k", ok); err != nil || value != "found" {
		t.Fatal(value, err)
	}
	want := `idempotency.run o
  idempotency.claim
    idempotency.store.claim
  idempotency.claim
    idempotency.store.claim
  idempotency.reconcile
    ask
  idempotency.commit
    idempotency.store.commit
`
	if got := other.tree(); got != want {
		t.Errorf("spans:\n%s\nwant:\n%s", got, want)
	}
	reconcile := other.named(t, "idempotency.reconcile")
	wantLink(t, reconcile, died)
	if attributeOfLink(reconcile.Links()[0]) != "abandoned" {
		t.Errorf("link %+v", reconcile.Links()[0])
	}
	run := other.named(t, "idempotency.run o")
	for _, l := range run.Links() {
		if l.SpanContext.SpanID() == run.SpanContext().SpanID() {
			t.Error("the call that reconciled leads to itself")
		}
	}
	p.spans.Reset()
	operation(t, p, idempotency.OperationOptions[string]{Name: "o"}).Run(t.Context(), "k", ok)
	wantLink(t, p.named(t, "idempotency.run o"), run.SpanContext())
}

func TestAReplayAfterATakeoverLeadsToTheSecondAttempt(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	o := operation(t, p, idempotency.OperationOptions[string]{})
	cutShort(t, o, "k")
	p.spans.Reset()
	o.Run(t.Context(), "k", ok)
	second := p.named(t, "idempotency.run")
	wantAttributes(t, second, map[string]string{"idempotency.outcome": "executed", "idempotency.attempt": "2"})
	taken := false
	for _, s := range p.spans.Ended() {
		taken = taken || attributeOf(s, "idempotency.takeover") == "true"
	}
	if !taken {
		t.Error("no claim is a takeover")
	}
	p.spans.Reset()
	o.Run(t.Context(), "k", ok)
	wantLink(t, p.named(t, "idempotency.run"), second.SpanContext())
}

func TestCancelledAndTimedOutWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		here, there := newProcess(t, store, idempotency.Options{}), newProcess(t, store, idempotency.Options{})
		release := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(release)
		wg.Go(func() {
			operation(t, here, idempotency.OperationOptions[string]{Name: "o"}).Run(t.Context(), "k", func(context.Context) (string, error) {
				<-release
				return "", nil
			})
		})
		synctest.Wait()
		for _, waiter := range []*process{here, there} {
			for _, c := range []struct {
				outcome, errorType string
				timeout            time.Duration
				cancel             time.Duration
			}{
				{"failed", "canceled", time.Minute, time.Second},
				{"refused", "wait_timeout", time.Second, time.Minute},
			} {
				waiter.spans.Reset()
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(c.cancel, cancel)
				operation(t, waiter, idempotency.OperationOptions[string]{Name: "o", WaitTimeout: c.timeout}).Run(ctx, "k", ok)
				timer.Stop()
				cancel()
				run, wait := waiter.named(t, "idempotency.run o"), waiter.named(t, "idempotency.wait")
				wantAttributes(t, run, map[string]string{
					"idempotency.outcome": c.outcome, "error.type": c.errorType, "idempotency.wait.duration": "1",
				})
				wantAttributes(t, wait, map[string]string{"error.type": c.errorType, "idempotency.wait.duration": "1"})
				for _, s := range []sdktrace.ReadOnlySpan{run, wait} {
					if s.Status().Code != codes.Error || s.Status().Description != "" || len(s.Events()) != 0 {
						t.Errorf("%s: status %+v, events %v", s.Name(), s.Status(), s.Events())
					}
				}
			}
		}
	})
}

// The SDK notes a panic that passes by a span's end, with its text and stack.
func TestPanicsLeaveNoEvents(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	for _, detach := range []bool{false, true} {
		o := operation(t, p, idempotency.OperationOptions[string]{Detach: detach})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic didn't go on")
				}
			}()
			o.Run(t.Context(), fmt.Sprint("k", detach), func(context.Context) (string, error) { panic("s3cret") })
		}()
	}
	ended := 0
	for _, s := range p.spans.Ended() {
		if s.Name() == "idempotency.run" || s.Name() == "idempotency.action" {
			ended++
			if s.Status().Code != codes.Error || attributeOf(s, "error.type") == "" {
				t.Errorf("%s: status %+v, error.type %q", s.Name(), s.Status(), attributeOf(s, "error.type"))
			}
		}
		if len(s.Events()) != 0 {
			t.Errorf("%s has events %v", s.Name(), s.Events())
		}
	}
	if ended != 4 {
		t.Errorf("%d calls and actions have ended, want 4", ended)
	}
	if started, ended := len(p.spans.Started()), len(p.spans.Ended()); started != ended {
		t.Errorf("%d spans were started, %d have ended", started, ended)
	}
	for name, points := range p.metrics(t) {
		if active := points[""]; name == "idempotency.executions.active" && active != 0 {
			t.Errorf("%v executions are active", active)
		}
	}
}

func TestLinksAcrossBackends(t *testing.T) {
	server := miniredis.RunT(t)
	client := redislib.NewClient(&redislib.Options{
		Addr: server.Addr(), MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { client.Close() })
	first, err := goredis.New(client, goredis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Close() })
	pool := &redigolib.Pool{DialContext: func(ctx context.Context) (redigolib.Conn, error) {
		return redigolib.DialContext(ctx, "tcp", server.Addr())
	}}
	t.Cleanup(func() { pool.Close() })
	second, err := redigo.New(pool, redigo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Close() })
	here, there := newProcess(t, first, idempotency.Options{}), newProcess(t, second, idempotency.Options{})
	operation(t, here, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	operation(t, there, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	wantLink(t, there.named(t, "idempotency.run"), here.named(t, "idempotency.run").SpanContext())
	wantAttributes(t, here.named(t, "idempotency.store.claim"), map[string]string{"idempotency.backend": "goredis"})
	wantAttributes(t, there.named(t, "idempotency.store.claim"), map[string]string{"idempotency.backend": "redigo"})
}

// idsOnly is a propagator with a format of its own.
type idsOnly struct{}

func (idsOnly) Fields() []string { return []string{"x-ids"} }

func (idsOnly) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	span := trace.SpanContextFromContext(ctx)
	carrier.Set("x-ids", span.TraceID().String()+span.SpanID().String())
}

func (idsOnly) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	ids, err := hex.DecodeString(carrier.Get("x-ids"))
	if err != nil || len(ids) != 24 {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID(ids[:16]), SpanID: trace.SpanID(ids[16:]),
	}))
}

func TestPropagators(t *testing.T) {
	for _, c := range []struct {
		name            string
		writes, reads   propagation.TextMapPropagator
		inRecord, leads bool
	}{
		{"its own format", idsOnly{}, idsOnly{}, true, true},
		{"a composite", propagation.NewCompositeTextMapPropagator(idsOnly{}, propagation.TraceContext{}), idsOnly{}, true, true},
		{"from W3C to another one", propagation.TraceContext{}, idsOnly{}, false, true},
		{"from another one to W3C", idsOnly{}, propagation.TraceContext{}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := newStore(t)
			writer := newProcess(t, store, idempotency.Options{}, tracing.WithPropagator(c.writes))
			reader := newProcess(t, store, idempotency.Options{}, tracing.WithPropagator(c.reads))
			operation(t, writer, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
			operation(t, reader, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
			record, err := store.Fetch(t.Context(), "\x00k")
			if err != nil || strings.Contains(string(record.Metadata), "x-ids") != c.inRecord {
				t.Errorf("metadata %q, %v", record.Metadata, err)
			}
			replay := reader.named(t, "idempotency.run")
			if c.leads {
				wantLink(t, replay, writer.named(t, "idempotency.run").SpanContext())
			} else if len(replay.Links()) != 0 {
				t.Errorf("links %v", replay.Links())
			}
		})
	}
}

// A tracestate may be longer than what a record has room for.
func TestALongTracestateIsLeftOut(t *testing.T) {
	store := newStore(t)
	p := newProcess(t, store, idempotency.Options{})
	var members []string
	for i := range 8 {
		members = append(members, fmt.Sprintf("vendor%d=%s", i, strings.Repeat("v", 250)))
	}
	state, err := trace.ParseTraceState(strings.Join(members, ","))
	if err != nil {
		t.Fatal(err)
	}
	caller := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state,
	})
	o := operation(t, p, idempotency.OperationOptions[string]{})
	o.Run(trace.ContextWithRemoteSpanContext(t.Context(), caller), "k", ok)
	run := p.named(t, "idempotency.run").SpanContext()
	p.spans.Reset()
	o.Run(t.Context(), "k", ok)
	replay := p.named(t, "idempotency.run")
	wantLink(t, replay, run)
	if n := replay.Links()[0].SpanContext.TraceState().Len(); n != 0 {
		t.Errorf("%d members of the tracestate", n)
	}
}

// A record may hold what another version or program wrote.
func TestACarrierThatCannotBeReadIsNoLink(t *testing.T) {
	p := newProcess(t, newStore(t), idempotency.Options{})
	observer, err := tracing.NewObserver(p.options...)
	if err != nil {
		t.Fatal(err)
	}
	for _, carrier := range []string{"", "\x00", "\x01", "\x02", "\x02short", "\x02" + strings.Repeat("x", 24), "\x03" + strings.Repeat("x", 25),
		"\x10", "\x11" + strings.Repeat("x", 23), "\x11" + strings.Repeat("\x00", 24), "\x20" + strings.Repeat("x", 25), "\x01\xff", "\x01\x05abc",
		"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x02" + strings.Repeat("\x00", 25), "\x01\x0btraceparent\x02xx"} {
		p.spans.Reset()
		step := idempotency.Step{Kind: idempotency.StepRun, Outcome: idempotency.Replayed}
		ctx := observer.StepStart(t.Context(), &step)
		step.Origin = []byte(carrier)
		observer.StepEnd(ctx, &step)
		if links := p.named(t, "idempotency.run").Links(); len(links) != 0 {
			t.Errorf("carrier %q: links %v", carrier, links)
		}
	}
}
