package main

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// line is what a process tells the parent, as one line of JSON on its stdout. One
// field is set.
type line struct {
	// URL comes first: where the process listens.
	URL string `json:"url,omitempty"`
	// Started tells a span as it begins. A real exporter tells only ended ones, so
	// the spans during which a process dies are never seen; here they are shown.
	Started *otlpSpan `json:"started,omitempty"`
	// Ended tells a span as it is exported.
	Ended *otlpSpan `json:"ended,omitempty"`
	// Sent is how many spans the collector took, Unsent why it took none.
	Sent   int    `json:"sent,omitempty"`
	Unsent string `json:"unsent,omitempty"`
}

// lines writes them. It is the span processor that hands all spans to the parent.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) write(told line) {
	data, err := json.Marshal(told)
	if err != nil {
		return // nothing of what is told can fail
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(data, '\n')) // a parent that is gone ends us by stdin
}

func (l *lines) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	span := newOTLPSpan(s)
	span.EndTime = 0
	l.write(line{Started: &span})
}

func (l *lines) OnEnd(s sdktrace.ReadOnlySpan) {
	span := newOTLPSpan(s)
	l.write(line{Ended: &span})
}

func (l *lines) Shutdown(context.Context) error   { return nil }
func (l *lines) ForceFlush(context.Context) error { return nil }

// countedExporter tells the parent what came of each batch.
type countedExporter struct {
	sdktrace.SpanExporter
	out *lines
}

func (c countedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		c.out.write(line{Unsent: err.Error()})
		return nil // it is told; the SDK would only log it too
	}
	c.out.write(line{Sent: len(spans)})
	return nil
}
