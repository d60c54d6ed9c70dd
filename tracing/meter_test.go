package tracing_test

import (
	"fmt"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

// recordingMeter notes the name, kind and unit of every instrument.
type recordingMeter struct {
	noop.MeterProvider
	made []string
}

func (r *recordingMeter) Meter(string, ...metric.MeterOption) metric.Meter {
	return &meter{recording: r}
}

type meter struct {
	noop.Meter
	recording *recordingMeter
}

func (m *meter) note(name, kind, unit string) {
	m.recording.made = append(m.recording.made, fmt.Sprint(name, " ", kind, " ", unit))
}

func (m *meter) Int64Counter(name string, options ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	m.note(name, "Counter", metric.NewInt64CounterConfig(options...).Unit())
	return m.Meter.Int64Counter(name, options...)
}

func (m *meter) Int64UpDownCounter(name string, options ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	m.note(name, "UpDownCounter", metric.NewInt64UpDownCounterConfig(options...).Unit())
	return m.Meter.Int64UpDownCounter(name, options...)
}

func (m *meter) Float64Histogram(name string, options ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	m.note(name, "Histogram", metric.NewFloat64HistogramConfig(options...).Unit())
	return m.Meter.Float64Histogram(name, options...)
}

func (m *meter) Int64ObservableCounter(name string, options ...metric.Int64ObservableCounterOption) (metric.Int64ObservableCounter, error) {
	m.note(name, "ObservableCounter", metric.NewInt64ObservableCounterConfig(options...).Unit())
	return m.Meter.Int64ObservableCounter(name, options...)
}
