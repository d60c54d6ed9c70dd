package tracing

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// scope is the name of the tracer and the meter.
const scope = "github.com/reprise-go/reprise/tracing"

// Option configures [NewObserver] and [Wrap].
type Option interface{ apply(*config) error }

type option func(*config) error

func (o option) apply(c *config) error { return o(c) }

type config struct {
	tracers     trace.TracerProvider
	meters      metric.MeterProvider
	propagator  propagation.TextMapPropagator
	attributes  []attribute.KeyValue
	key         KeyAttribute
	backendName string
}

func newConfig(options []Option) (*config, error) {
	c := &config{
		tracers: otel.GetTracerProvider(), meters: otel.GetMeterProvider(), propagator: otel.GetTextMapPropagator(),
	}
	for _, o := range options {
		if o == nil {
			return nil, errors.New("tracing: an option is nil")
		}
		if err := o.apply(c); err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	if len(c.propagator.Fields()) == 0 {
		// The global default propagates nothing; then records carry what everybody
		// understands.
		c.propagator = propagation.TraceContext{}
	}
	return c, nil
}

// WithTracerProvider sets where spans go. Default: the global provider.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return option(func(c *config) error {
		if provider == nil {
			return errors.New("WithTracerProvider: provider is nil")
		}
		c.tracers = provider
		return nil
	})
}

// WithMeterProvider sets where metrics go. Default: the global provider.
func WithMeterProvider(provider metric.MeterProvider) Option {
	return option(func(c *config) error {
		if provider == nil {
			return errors.New("WithMeterProvider: provider is nil")
		}
		c.meters = provider
		return nil
	})
}

// WithPropagator sets how the span context of an execution is written into the
// record. Its field "baggage" is never written. Default: the global propagator, or
// W3C Trace Context where none is set. Processes that share records should agree.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return option(func(c *config) error {
		if propagator == nil {
			return errors.New("WithPropagator: propagator is nil")
		}
		c.propagator = propagator
		return nil
	})
}

// WithAttributes adds attributes to every span and metric. They must not vary
// from call to call.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return option(func(c *config) error {
		for _, a := range attributes {
			if !a.Valid() {
				return fmt.Errorf("WithAttributes: attribute %q is invalid", a.Key)
			}
		}
		c.attributes = append(slices.Clone(c.attributes), attributes...)
		return nil
	})
}

// WithBackendName names the store: in spans and metrics of [Wrap], and on the
// spans of [NewObserver], which doesn't see the store by itself. Default of Wrap:
// the last element of its package's path, "goredis" for example.
func WithBackendName(name string) Option {
	return option(func(c *config) error {
		if name == "" {
			return errors.New("WithBackendName: name is empty")
		}
		c.backendName = name
		return nil
	})
}

// WithKeyAttribute puts the idempotency key on the spans of calls: [KeyHash] or
// [RawKey]. Never on metrics. Default: not at all, for a key is often a secret:
// who knows it may get the answer.
func WithKeyAttribute(key KeyAttribute) Option {
	return option(func(c *config) error {
		if key == nil {
			return errors.New("WithKeyAttribute: key is nil, or a KeyHash with a secret that is too short")
		}
		c.key = key
		return nil
	})
}

// KeyAttribute makes the attribute of a key.
type KeyAttribute func(key string) attribute.KeyValue

// minSecret is the length of the shortest secret in bytes: without one that can't
// be guessed, a hash of a guessable key is the key.
const minSecret = 16

// KeyHash is the attribute idempotency.key_hash: the first 8 bytes of an
// HMAC-SHA-256 of the key under secret, in hex. Who knows the secret can find the
// spans of a key; who doesn't can't try keys out. Secret should have 32 random
// bytes; it is copied. With fewer than 16 it returns nil, which
// [WithKeyAttribute] refuses.
func KeyHash(secret []byte) KeyAttribute {
	if len(secret) < minSecret {
		return nil
	}
	secret = slices.Clone(secret)
	return func(key string) attribute.KeyValue {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(key))
		return attribute.String("idempotency.key_hash", hex.EncodeToString(mac.Sum(nil)[:8]))
	}
}

// RawKey is the attribute idempotency.key, the key as it is; bytes that are no
// UTF-8 are replaced. Everybody who can read traces can then use it.
func RawKey() KeyAttribute {
	return func(key string) attribute.KeyValue { return attribute.String("idempotency.key", printable(key)) }
}
