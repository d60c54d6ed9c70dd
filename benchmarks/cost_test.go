package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/tracing"
)

// opened is a store to measure on; between removes what a fresh call leaves.
type opened struct {
	store   backend.Backend
	between func()
}

var errDeclined = errors.New("card declined")

type cardError struct {
	Code string
	Err  error
}

func (e *cardError) Error() string { return e.Code + ": " + e.Err.Error() }
func (e *cardError) Unwrap() error { return e.Err }

// BenchmarkError is a recorded error against a recorded value of 128 bytes: one
// that the registry doesn't know, and one of a registered type around a
// registered sentinel, which errors.As and errors.Is find in the replay.
func BenchmarkError(b *testing.B) {
	registry, err := codec.NewErrors(codec.ErrorSet{
		Sentinels: map[string]error{"bench.ErrDeclined": errDeclined},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("bench.CardError", codec.ErrorTypeOptions[*cardError]{})},
	})
	if err != nil {
		b.Fatal(err)
	}
	onEach(b, func(b *testing.B, open func(tb testing.TB) opened) {
		o := open(b)
		x := newExecutor(b, o.store, idempotency.Options{Errors: registry})
		value := replays(b, x, "value", func(context.Context) ([]byte, error) { return payloadOf(128), nil }, nil)
		for _, c := range []struct {
			name  string
			err   error
			check func(error) bool
		}{
			{"text", errors.New("card declined"), func(err error) bool { return err != nil }},
			{"registered", fmt.Errorf("charge: %w", &cardError{"expired", errDeclined}), func(err error) bool {
				card := (*cardError)(nil)
				return errors.Is(err, errDeclined) && errors.As(err, &card) && card.Code == "expired"
			}},
		} {
			b.Run(c.name, func(b *testing.B) {
				call := replays(b, x, c.name, func(context.Context) ([]byte, error) { return nil, c.err }, c.check)
				reportAllocs(b, call)
				measure.Against(b, measure.Options{}, call, value)
			})
		}
	})
}

// replays are replays of one answer; check, where it is given, says whether an
// error is the recorded one.
func replays(tb testing.TB, x *idempotency.Executor, name string, action func(context.Context) ([]byte, error), check func(error) bool) measure.Contender {
	tb.Helper()
	key := nextKey('e')
	_, _ = idempotency.Run(tb.Context(), x, key, action)
	return repeat(name, func(ctx context.Context) error {
		_, err := idempotency.Run(ctx, x, key, notAgain)
		if check == nil {
			return err
		}
		if !check(err) {
			return fmt.Errorf("%w: %w", errReply, err)
		}
		return nil
	})
}

// BenchmarkTracing is a call with tracing against one without: with the no-op
// providers of an application that has set up none, and with an SDK that samples
// everything and exports nothing.
func BenchmarkTracing(b *testing.B) {
	noop := []tracing.Option{
		tracing.WithTracerProvider(nooptrace.NewTracerProvider()), tracing.WithMeterProvider(noopmetric.NewMeterProvider()),
	}
	spans := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}))
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	on := []tracing.Option{tracing.WithTracerProvider(spans), tracing.WithMeterProvider(metrics)}
	onEach(b, func(b *testing.B, open func(tb testing.TB) opened) {
		for _, what := range []string{"fresh", "replay"} {
			b.Run(what, func(b *testing.B) {
				off := traced(b, "off", what, open(b).store, nil)
				b.Run("off", func(b *testing.B) {
					reportAllocs(b, off)
					measure.Against(b, measure.Options{}, off)
				})
				for _, with := range []struct {
					name    string
					options []tracing.Option
				}{{"noop", noop}, {"on", on}} {
					b.Run(with.name, func(b *testing.B) {
						o := open(b)
						call := traced(b, with.name, what, o.store, with.options)
						reportAllocs(b, call)
						between := o.between
						if what == "replay" {
							between = nil
						}
						measure.Against(b, measure.Options{Between: between}, call, off)
					})
				}
			})
		}
	})
}

// discard takes spans and does nothing with them.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }

// traced are calls on a store, with an observer and a wrapped store where there
// are options.
func traced(tb testing.TB, name, what string, store backend.Backend, options []tracing.Option) measure.Contender {
	tb.Helper()
	o := idempotency.Options{}
	if what == "fresh" {
		o.Retention, o.Lease = time.Second, time.Second
	}
	if options != nil {
		observer, err := tracing.NewObserver(options...)
		if err != nil {
			tb.Fatal(err)
		}
		if store, err = tracing.Wrap(store, options...); err != nil {
			tb.Fatal(err)
		}
		o.Observer = observer
	}
	x := newExecutor(tb, store, o)
	action := answer(payloadOf(128))
	if what == "replay" {
		return replays(tb, x, name, action, nil)
	}
	return repeat(name, func(ctx context.Context) error {
		_, err := idempotency.Run(ctx, x, nextKey('t'), action)
		return err
	})
}
