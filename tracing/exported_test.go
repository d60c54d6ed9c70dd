package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// The names on which dashboards and alerts are built. Changing one breaks them.
func TestTheNamesOfMetricsAreFrozen(t *testing.T) {
	meters := &recordingMeter{}
	if _, err := tracing.NewObserver(tracing.WithMeterProvider(meters)); err != nil {
		t.Fatal(err)
	}
	if _, err := tracing.Wrap(counting{newStore(t)}, tracing.WithMeterProvider(meters)); err != nil {
		t.Fatal(err)
	}
	slices.Sort(meters.made)
	want := []string{
		"idempotency.abandonments Counter {claim}",
		"idempotency.action.duration Histogram s",
		"idempotency.calls Counter {call}",
		"idempotency.commit.failures Counter {commit}",
		"idempotency.commit.fenced Counter {commit}",
		"idempotency.commit.retries Counter {request}",
		"idempotency.executions.active UpDownCounter {execution}",
		"idempotency.executions.unprotected Counter {execution}",
		"idempotency.joined_calls Counter {call}",
		"idempotency.lease.losses Counter {lease}",
		"idempotency.lease.renewals Counter {renewal}",
		"idempotency.store.cache.hits ObservableCounter {hit}",
		"idempotency.store.duration Histogram s",
		"idempotency.takeovers Counter {takeover}",
		"idempotency.undecided Counter {call}",
		"idempotency.wait.duration Histogram s",
	}
	if !slices.Equal(meters.made, want) {
		t.Errorf("made:\n%s\nwant:\n%s", strings.Join(meters.made, "\n"), strings.Join(want, "\n"))
	}
	// A name that is also the first part of another one can't be told from a
	// namespace.
	for _, a := range want {
		for _, b := range want {
			if strings.HasPrefix(b, strings.Fields(a)[0]+".") {
				t.Errorf("%s is a part of %s", a, b)
			}
		}
	}
}

// documentedAttributes are the attributes of each metric in the table of the
// package comment.
func documentedAttributes(t *testing.T) map[string][]string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^//\t(idempotency\.[a-z._]+)\s+(?:Counter|Histogram|UpDownCounter|ObservableCounter)\s+\S+\s+(.+)$`)
	table := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(doc), -1) {
		for a := range strings.SplitSeq(m[2], ", ") {
			table[m[1]] = append(table[m[1]], strings.TrimSpace(a))
		}
	}
	return table
}

// flaky fails as often as it is told.
type flaky struct {
	backend.Backend
	mu    sync.Mutex
	fails map[string]error
	left  map[string]int
}

func (f *flaky) fail(verb string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left[verb] == 0 {
		return nil
	}
	f.left[verb]--
	return f.fails[verb]
}

func (f *flaky) next(verb string, times int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left[verb], f.fails[verb] = times, err
}

func (f *flaky) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	verb := "claim"
	if request.Renewal {
		verb = "renew"
	}
	if err := f.fail(verb); err != nil {
		return backend.Record{}, err
	}
	return f.Backend.Claim(ctx, key, request)
}

func (f *flaky) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := f.fail("commit"); err != nil {
		return err
	}
	return f.Backend.Commit(ctx, key, request)
}

func (f *flaky) CacheHits() uint64 { return 7 }

// Everything that can happen happens once; what is exported of it has the
// attributes of the table, and every row of the table has data.
func TestMetricsHaveTheirAttributesAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Backend: newStore(t), fails: map[string]error{}, left: map[string]int{}}
		p := newProcess(t, store, idempotency.Options{Namespace: "n", Lease: time.Second, MaxHold: 5 * time.Second, FailOpen: true})
		o := operation(t, p, idempotency.OperationOptions[string]{Name: "o"})
		fail := operation(t, p, idempotency.OperationOptions[string]{Name: "o", OnAbandoned: idempotency.Fail})
		broken := errors.New("s3cret text of the client")
		slow := func(context.Context) (string, error) { time.Sleep(2 * time.Second); return "s3cret", nil }

		o.Run(t.Context(), "s3cret-1", ok)
		o.Run(t.Context(), "s3cret-2", func(context.Context) (string, error) { return "", broken })
		var wg sync.WaitGroup
		for range 2 { // one joins
			wg.Go(func() { o.Run(t.Context(), "s3cret-3", slow) })
			synctest.Wait()
		}
		wg.Wait()
		cutShort(t, o, "s3cret-4")
		fail.Run(t.Context(), "s3cret-4", ok) // undecided
		o.Run(t.Context(), "s3cret-4", ok)    // taken over
		o.Run(t.Context(), "s3cret-5", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		store.next("renew", 1, broken)
		o.Run(t.Context(), "s3cret-6", slow)
		store.next("commit", 1, broken) // repeated
		o.Run(t.Context(), "s3cret-7", ok)
		store.next("commit", 1, backend.ErrPermanent) // failed
		o.Run(t.Context(), "s3cret-8", ok)
		store.next("commit", 1, backend.ErrSuperseded) // fenced
		o.Run(t.Context(), "s3cret-9", ok)
		store.next("claim", 100, broken) // unprotected
		if _, err := o.Run(t.Context(), "s3cret-10", ok); err != nil {
			t.Error(err)
		}
		store.next("claim", 0, nil)

		table := documentedAttributes(t)
		seen := map[string]map[string]bool{}
		var data metricdata.ResourceMetrics
		if err := p.reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(fmt.Sprint(data), "s3cret") {
			t.Error("the metrics hold a key, a payload or an error's text")
		}
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				seen[m.Name] = map[string]bool{}
				for _, set := range attributeSets(t, m) {
					for _, a := range set.ToSlice() {
						name := strings.TrimPrefix(string(a.Key), "idempotency.")
						seen[m.Name][name] = true
						if !slices.Contains(table[m.Name], name) {
							t.Errorf("%s has the attribute %s = %s, which the table doesn't", m.Name, a.Key, a.Value.String())
						}
					}
				}
			}
		}
		for name, attributes := range table {
			if seen[name] == nil {
				t.Errorf("%s has no data", name)
				continue
			}
			for _, a := range attributes {
				if !seen[name][a] {
					t.Errorf("%s never had the attribute %s", name, a)
				}
			}
		}
	})
}

func attributeSets(t *testing.T, m metricdata.Metrics) (sets []attribute.Set) {
	t.Helper()
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		monotonic := m.Name != "idempotency.executions.active"
		if d.IsMonotonic != monotonic {
			t.Errorf("%s: monotonic %v", m.Name, d.IsMonotonic)
		}
		for _, point := range d.DataPoints {
			sets = append(sets, point.Attributes)
		}
	case metricdata.Histogram[float64]:
		for _, point := range d.DataPoints {
			sets = append(sets, point.Attributes)
		}
	default:
		t.Errorf("%s is a %T", m.Name, d)
	}
	return sets
}

// A verb that failed has seen no state: "vacant" would say that the key is free.
func TestAFailedVerbHasNoState(t *testing.T) {
	store := &flaky{Backend: newStore(t), fails: map[string]error{}, left: map[string]int{}}
	p := newProcess(t, store, idempotency.Options{})
	store.next("claim", 1, fmt.Errorf("%w: s3cret", backend.ErrPermanent))
	operation(t, p, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	wantAttributes(t, p.named(t, "idempotency.store.claim"), map[string]string{"idempotency.state": "", "error.type": "refused_permanently"})
	wantAttributes(t, p.named(t, "idempotency.run"), map[string]string{"idempotency.outcome": "failed", "error.type": "refused_permanently"})
}

// OTLP takes UTF-8 only, and an exporter drops the whole batch for one bad name.
func TestNamesThatAreNoUTF8(t *testing.T) {
	p := newProcess(t, newStore(t), idempotency.Options{Namespace: "n\xff"}, tracing.WithKeyAttribute(tracing.RawKey()))
	operation(t, p, idempotency.OperationOptions[string]{Name: "o\xfe"}).Run(t.Context(), "k\xfd", ok)
	for _, s := range p.spans.Ended() {
		if !utf8.ValidString(s.Name()) {
			t.Errorf("name %q", s.Name())
		}
		for _, a := range s.Attributes() {
			if !utf8.ValidString(a.Value.String()) {
				t.Errorf("%s: %s = %q", s.Name(), a.Key, a.Value.String())
			}
		}
	}
	for name, points := range p.metrics(t) {
		for labels := range points {
			if !utf8.ValidString(labels) {
				t.Errorf("%s{%q}", name, labels)
			}
		}
	}
}

func TestBackendNameOnAllSpans(t *testing.T) {
	p := newProcess(t, newStore(t), idempotency.Options{}, tracing.WithBackendName("orders"), tracing.WithAttributes(attribute.String("team", "pay")))
	operation(t, p, idempotency.OperationOptions[string]{}).Run(t.Context(), "k", ok)
	for _, s := range p.spans.Ended() {
		wantAttributes(t, s, map[string]string{"idempotency.backend": "orders", "team": "pay"})
	}
	for name, points := range p.metrics(t) {
		for labels := range points {
			if !strings.Contains(labels, "team=pay") || strings.Contains(labels, "backend=orders") != (name == "idempotency.store.duration") {
				t.Errorf("%s{%s}", name, labels)
			}
		}
	}
}

type failingClose struct {
	*flaky
	err error
}

func (f failingClose) Close() error { return f.err }

// Closing a wrapped store gives the store's own error and ends its metrics.
func TestCloseOfAWrappedStore(t *testing.T) {
	closed := errors.New("closing failed")
	store := failingClose{&flaky{Backend: newStore(t), fails: map[string]error{}, left: map[string]int{}}, closed}
	reader := sdkmetric.NewManualReader()
	wrapped, err := tracing.Wrap(store, tracing.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	hits := func() int {
		var data metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, scope := range data.ScopeMetrics {
			for _, m := range scope.Metrics {
				if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "idempotency.store.cache.hits" {
					n += len(sum.DataPoints)
				}
			}
		}
		return n
	}
	if hits() != 1 {
		t.Errorf("%d counts of cache hits, want 1", hits())
	}
	if err := wrapped.(interface{ Close() error }).Close(); err != closed {
		t.Errorf("Close returned %v, want the store's own error", err)
	}
	if hits() != 0 {
		t.Error("the cache hits of a closed store are still counted")
	}
}

// Many operations and executors at once on one observer.
func TestObserverIsSafeForConcurrentUse(t *testing.T) {
	p := newProcess(t, newStore(t), idempotency.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				o := operation(t, p, idempotency.OperationOptions[string]{Name: fmt.Sprint("o", (i+j)%5)})
				o.Run(t.Context(), fmt.Sprint("k", j), ok)
			}
		})
	}
	wg.Wait()
	if started, ended := len(p.spans.Started()), len(p.spans.Ended()); started != ended || started == 0 {
		t.Errorf("%d spans were started, %d have ended", started, ended)
	}
}
