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
// record has one, so it is kept in binary, with its flags in the mark of the form.

const (
	carrierFields = 1 // pairs of strings
	carrierFlags  = 2 // 16 + 8 + 1 bytes, then pairs of strings: read, not written any more
	// carrierIDs is the high half of the byte, the low one are the traceparent's
	// flags: 16 + 8 bytes, then pairs of strings.
	carrierIDs = 0x10
)

const idsSize = 16 + 8

const traceparentField = "traceparent"

// carry returns the carrier for the span in ctx; nil where there is none.
func carry(ctx context.Context, propagator propagation.TextMapPropagator) []byte {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return nil
	}
	if _, standard := propagator.(propagation.TraceContext); standard && span.TraceState().Len() == 0 {
		traceID, spanID := span.TraceID(), span.SpanID()
		flags := byte(span.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom))
		data := append(make([]byte, 0, 1+idsSize), carrierIDs|flags)
		return append(append(data, traceID[:]...), spanID[:]...)
	}
	fields := propagation.MapCarrier{}
	propagator.Inject(ctx, fields)
	delete(fields, "baggage")
	if len(fields) == 0 {
		return nil
	}
	data := []byte{carrierFields}
	if packed, ok := packTraceparent(fields[traceparentField]); ok {
		data = packed
		delete(fields, traceparentField)
	}
	for _, name := range propagator.Fields() { // in its order, so that equal contexts are equal bytes
		if value, ok := fields[name]; ok {
			data = appendField(appendField(data, name), value)
		}
	}
	if len(data) > idempotency.MaxCarrier {
		// A long tracestate: the link needs only the ids.
		if data[0]&0xf0 == carrierIDs {
			return data[:1+idsSize]
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
	switch {
	case form&0xf0 == carrierIDs && len(rest) >= idsSize:
		fields[traceparentField] = traceparent(rest[:idsSize], form&0x0f)
		rest = rest[idsSize:]
	case form == carrierFlags && len(rest) > idsSize:
		fields[traceparentField] = traceparent(rest[:idsSize], rest[idsSize])
		rest = rest[idsSize+1:]
	case form == carrierFields:
	default: // cut, or of a newer version
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
	if !span.IsValid() && form != carrierFields {
		// It was written under another propagator, and says in which format.
		span = trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), fields))
	}
	return span
}

// packTraceparent is the beginning of a carrier. A traceparent that isn't in its
// usual form stays text.
func packTraceparent(s string) (packed []byte, ok bool) {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return nil, false
	}
	packed, err := hex.DecodeString(s[53:55] + s[3:35] + s[36:52])
	if err != nil || packed[0] > 0x0f || traceparent(packed[1:], packed[0]) != s {
		return nil, false
	}
	packed[0] |= carrierIDs
	return packed, true
}

func traceparent(ids []byte, flags byte) string {
	return "00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-" + hex.EncodeToString([]byte{flags})
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
