package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/reprise-go/reprise/idempotency"
)

// A carrier is the span context of an execution as it lies in a record: what the
// propagator injects, name and value after another, each after its length. A
// traceparent in its usual form is 55 bytes of text for 25 of content, and every
// record has one, so it is kept in binary under its own mark.

const (
	carrierFields      = 1 // pairs of strings
	carrierTraceparent = 2 // 16 + 8 + 1 bytes, then pairs of strings
)

const traceparentField = "traceparent"

// carry returns the carrier for the span in ctx; nil where there is none.
func carry(ctx context.Context, propagator propagation.TextMapPropagator) []byte {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	if _, standard := propagator.(propagation.TraceContext); standard && span.TraceState().Len() == 0 {
		traceID, spanID := span.TraceID(), span.SpanID()
		data := append(make([]byte, 0, 1+25), carrierTraceparent)
		data = append(append(data, traceID[:]...), spanID[:]...)
		return append(data, byte(span.TraceFlags()&(trace.FlagsSampled|trace.FlagsRandom)))
	}
	fields := propagation.MapCarrier{}
	propagator.Inject(ctx, fields)
	delete(fields, "baggage")
	if len(fields) == 0 {
		return nil
	}
	data := []byte{carrierFields}
	if packed, ok := packTraceparent(fields[traceparentField]); ok {
		data = append([]byte{carrierTraceparent}, packed...)
		delete(fields, traceparentField)
	}
	for _, name := range propagator.Fields() { // in its order, so that equal contexts are equal bytes
		if value, ok := fields[name]; ok {
			data = appendField(appendField(data, name), value)
		}
	}
	if len(data) > idempotency.MaxCarrier {
		// A long tracestate: the link needs only the ids.
		if data[0] == carrierTraceparent {
			return data[:1+25]
		}
		return nil
	}
	return data
}

// uncarry reads a carrier; an invalid span context where it can't.
func uncarry(data []byte, propagator propagation.TextMapPropagator) trace.SpanContext {
	if len(data) == 0 {
		return trace.SpanContext{}
	}
	fields := propagation.MapCarrier{}
	form, rest := data[0], data[1:]
	switch form {
	case carrierTraceparent:
		if len(rest) < 25 {
			return trace.SpanContext{}
		}
		fields[traceparentField] = unpackTraceparent(rest[:25])
		rest = rest[25:]
	case carrierFields:
	default: // of a newer version
		return trace.SpanContext{}
	}
	for len(rest) > 0 {
		var name, value string
		var ok bool
		if name, rest, ok = readField(rest); !ok {
			break
		}
		if value, rest, ok = readField(rest); !ok {
			break
		}
		fields[name] = value
	}
	span := trace.SpanContextFromContext(propagator.Extract(context.Background(), fields))
	if !span.IsValid() && form == carrierTraceparent {
		// It was written under another propagator, and says in which format.
		span = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), fields))
	}
	return span
}

func packTraceparent(s string) (packed []byte, ok bool) {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return nil, false
	}
	packed, err := hex.DecodeString(s[3:35] + s[36:52] + s[53:55])
	return packed, err == nil && unpackTraceparent(packed) == s
}

func unpackTraceparent(b []byte) string {
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:24]) + "-" + hex.EncodeToString(b[24:25])
}

func appendField(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func readField(data []byte) (s string, rest []byte, ok bool) {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) {
		return "", nil, false
	}
	data = data[size:]
	return string(data[:n]), data[n:], true
}
