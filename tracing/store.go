package tracing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
)

// CacheCounter is implemented by backends that answer replays from a cache on
// this side: backends/rueidis. [Wrap] exports it as a metric.
type CacheCounter interface {
	// CacheHits is how many claims were answered without asking the server.
	CacheHits() uint64
}

// Wrap returns the store with a span and a duration for every verb. What it
// returns implements backend.Forgetter, io.Closer and CacheCounter if and only if
// the store does. Closing it ends its metrics too.
func Wrap(store backend.Backend, options ...Option) (backend.Backend, error) {
	if isNil(store) {
		return nil, fmt.Errorf("tracing: store is nil (%T)", store)
	}
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	name := c.backendName
	if name == "" {
		name = nameOf(store)
	}
	meter := c.meters.Meter(scope)
	duration, err := meter.Float64Histogram("idempotency.store.duration", metric.WithUnit("s"), seconds,
		metric.WithDescription("Time that the store's verbs took; a wait lasts as long as its holder."))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	s := &traced{
		Backend: store, tracer: c.tracers.Tracer(scope), duration: duration,
		attributes: append(slices.Clone(c.attributes), attribute.String("idempotency.backend", name)),
	}
	s.options = []trace.SpanStartOption{trace.WithAttributes(s.attributes...)}
	if cache, ok := store.(CacheCounter); ok {
		hits, err := meter.Int64ObservableCounter("idempotency.store.cache.hits", metric.WithUnit("{hit}"),
			metric.WithDescription("Claims answered from the cache on this side."))
		if err == nil {
			set := metric.WithAttributeSet(attribute.NewSet(s.attributes...))
			s.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
				o.ObserveInt64(hits, int64(cache.CacheHits()), set)
				return nil
			}, hits)
		}
		if err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	return s.withAbilities(), nil
}

// isNil tells nil and typed nil.
func isNil(store backend.Backend) bool {
	switch v := reflect.ValueOf(store); v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}

func nameOf(store backend.Backend) string {
	t := reflect.TypeOf(store)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path := t.PkgPath()
	return path[strings.LastIndexByte(path, '/')+1:]
}

// traced is the store with spans; its abilities are added by withAbilities.
type traced struct {
	backend.Backend
	tracer       trace.Tracer
	duration     metric.Float64Histogram
	attributes   []attribute.KeyValue
	options      []trace.SpanStartOption // with the attributes
	registration metric.Registration
}

// The names of the verbs' spans, and of the verbs in metrics.
const (
	claimSpan  = "idempotency.store.claim"
	commitSpan = "idempotency.store.commit"
	waitSpan   = "idempotency.store.wait"
	fetchSpan  = "idempotency.store.fetch"
	forgetSpan = "idempotency.store.forget"

	verbAt = len("idempotency.store.")
)

// verb is one call of the store.
type verb struct {
	span  trace.Span
	name  string // of the span
	began time.Time
}

func (s *traced) begin(ctx context.Context, name string) (context.Context, verb) {
	began := time.Now()
	ctx, span := s.tracer.Start(ctx, name, s.options...)
	return ctx, verb{span: span, name: name, began: began}
}

// end ends a verb; the error is the store's failure, if it has failed.
func (s *traced) end(ctx context.Context, v verb, err error) {
	if v.span.IsRecording() {
		setError(v.span, err)
	}
	// Before the span's end, so that the measurement can have it as its exemplar.
	if s.duration.Enabled(ctx) {
		attributes := append(make([]attribute.KeyValue, 0, len(s.attributes)+2), s.attributes...)
		attributes = append(attributes, attribute.String("idempotency.verb", v.name[verbAt:]))
		if err != nil {
			attributes = append(attributes, errorType(err))
		}
		s.duration.Record(ctx, time.Since(v.began).Seconds(), metric.WithAttributeSet(attribute.NewSet(attributes...)))
	}
	v.span.End()
}

// found ends a verb that returns a record. One that failed has seen no state.
func (s *traced) found(ctx context.Context, v verb, record *backend.Record, err error) {
	if err == nil && v.span.IsRecording() {
		v.span.SetAttributes(attribute.String("idempotency.state", record.State.String()))
	}
	s.end(ctx, v, err)
}

func (s *traced) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	ctx, v := s.begin(ctx, claimSpan)
	record, err := s.Backend.Claim(ctx, key, request)
	s.found(ctx, v, &record, err)
	return record, err
}

// Commit tells a superseded ending by its attribute: it is an answer of the
// store, which has not failed.
func (s *traced) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	ctx, v := s.begin(ctx, commitSpan)
	err := s.Backend.Commit(ctx, key, request)
	failure := err
	superseded := errors.Is(err, backend.ErrSuperseded)
	if superseded {
		failure = nil
	}
	if v.span.IsRecording() {
		v.span.SetAttributes(attribute.String("idempotency.ending", request.Ending.String()))
		if superseded {
			v.span.SetAttributes(attribute.Bool("idempotency.superseded", true))
		}
	}
	s.end(ctx, v, failure)
	return err
}

func (s *traced) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	ctx, v := s.begin(ctx, waitSpan)
	record, err := s.Backend.Wait(ctx, key, token)
	s.found(ctx, v, &record, err)
	return record, err
}

func (s *traced) Fetch(ctx context.Context, key string) (backend.Record, error) {
	ctx, v := s.begin(ctx, fetchSpan)
	record, err := s.Backend.Fetch(ctx, key)
	s.found(ctx, v, &record, err)
	return record, err
}

func (s *traced) forget(ctx context.Context, key string) error {
	ctx, v := s.begin(ctx, forgetSpan)
	err := s.Backend.(backend.Forgetter).Forget(ctx, key)
	s.end(ctx, v, err)
	return err
}

func (s *traced) close() error {
	err := s.Backend.(io.Closer).Close()
	if s.registration != nil {
		if failed := s.registration.Unregister(); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	return err
}

type (
	forgets struct{ s *traced }
	closes  struct{ s *traced }
)

func (f forgets) Forget(ctx context.Context, key string) error { return f.s.forget(ctx, key) }
func (c closes) Close() error                                  { return c.s.close() }

// withAbilities adds the optional interfaces that the store has, and no others:
// who asks for one by a type assertion must get the store's own answer.
func (s *traced) withAbilities() backend.Backend {
	_, canForget := s.Backend.(backend.Forgetter)
	_, canClose := s.Backend.(io.Closer)
	cache, counts := s.Backend.(CacheCounter)
	f, c := forgets{s}, closes{s}
	switch {
	case canForget && canClose && counts:
		return struct {
			*traced
			forgets
			closes
			CacheCounter
		}{s, f, c, cache}
	case canForget && canClose:
		return struct {
			*traced
			forgets
			closes
		}{s, f, c}
	case canForget && counts:
		return struct {
			*traced
			forgets
			CacheCounter
		}{s, f, cache}
	case canClose && counts:
		return struct {
			*traced
			closes
			CacheCounter
		}{s, c, cache}
	case canForget:
		return struct {
			*traced
			forgets
		}{s, f}
	case canClose:
		return struct {
			*traced
			closes
		}{s, c}
	case counts:
		return struct {
			*traced
			CacheCounter
		}{s, cache}
	}
	return s
}
