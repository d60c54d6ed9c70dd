package tracing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
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
	if v := reflect.ValueOf(store); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
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
		attributes: append(append([]attribute.KeyValue(nil), c.attributes...), attribute.String("idempotency.backend", name)),
	}
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
	registration metric.Registration
}

// begin starts a verb; what it returns ends it.
func (s *traced) begin(ctx context.Context, verb string) (context.Context, func(err error, more ...attribute.KeyValue)) {
	began := time.Now()
	ctx, span := s.tracer.Start(ctx, "idempotency.store."+verb, trace.WithAttributes(s.attributes...))
	return ctx, func(err error, more ...attribute.KeyValue) {
		if span.IsRecording() {
			span.SetAttributes(more...)
			setError(span, err)
		}
		span.End()
		if s.duration.Enabled(ctx) {
			attributes := append([]attribute.KeyValue{attribute.String("idempotency.verb", verb)}, s.attributes...)
			if err != nil {
				attributes = append(attributes, attribute.String("error.type", idempotency.ErrorType(err)))
			}
			s.duration.Record(ctx, time.Since(began).Seconds(), metric.WithAttributeSet(attribute.NewSet(attributes...)))
		}
	}
}

func state(record backend.Record) attribute.KeyValue {
	return attribute.String("idempotency.state", record.State.String())
}

func (s *traced) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	ctx, end := s.begin(ctx, "claim")
	record, err := s.Backend.Claim(ctx, key, request)
	end(err, state(record))
	return record, err
}

// Commit tells a superseded ending by its attribute: it is an answer of the
// store, and an error of nobody.
func (s *traced) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	ctx, end := s.begin(ctx, "commit")
	err := s.Backend.Commit(ctx, key, request)
	ending := attribute.String("idempotency.ending", request.Ending.String())
	if errors.Is(err, backend.ErrSuperseded) {
		end(nil, ending, attribute.Bool("idempotency.superseded", true))
	} else {
		end(err, ending)
	}
	return err
}

func (s *traced) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	ctx, end := s.begin(ctx, "wait")
	record, err := s.Backend.Wait(ctx, key, token)
	end(err, state(record))
	return record, err
}

func (s *traced) Fetch(ctx context.Context, key string) (backend.Record, error) {
	ctx, end := s.begin(ctx, "fetch")
	record, err := s.Backend.Fetch(ctx, key)
	end(err, state(record))
	return record, err
}

func (s *traced) forget(ctx context.Context, key string) error {
	ctx, end := s.begin(ctx, "forget")
	err := s.Backend.(backend.Forgetter).Forget(ctx, key)
	end(err)
	return err
}

func (s *traced) close() error {
	err := s.Backend.(io.Closer).Close()
	if s.registration != nil {
		err = errors.Join(err, s.registration.Unregister())
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
