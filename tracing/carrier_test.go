package tracing

import (
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A carrier of each form that was ever written is read; one of the usual context
// is 25 bytes.
func TestCarrierForms(t *testing.T) {
	state, err := trace.ParseTraceState("vendor=v")
	if err != nil {
		t.Fatal(err)
	}
	w3c := propagation.TraceContext{}
	composite := propagation.NewCompositeTextMapPropagator(w3c, propagation.Baggage{})
	ids := "0123456789abcdefspan-id!"
	for _, flags := range []trace.TraceFlags{0, trace.FlagsSampled, trace.FlagsSampled | trace.FlagsRandom} {
		config := trace.SpanContextConfig{
			TraceID: trace.TraceID([]byte(ids[:16])), SpanID: trace.SpanID([]byte(ids[16:])), TraceFlags: flags, Remote: true,
		}
		plain := trace.NewSpanContext(config)
		config.TraceState = state
		full := trace.NewSpanContext(config)
		for name, c := range map[string]struct {
			span    trace.SpanContext
			carrier string
			written []propagation.TextMapPropagator // by which it is written
		}{
			"text":            {plain, "\x01\x0btraceparent\x37" + traceparent([]byte(ids), byte(flags)), nil},
			"2":               {plain, "\x02" + ids + string([]byte{byte(flags)}), nil},
			"2 with a state":  {full, "\x02" + ids + string([]byte{byte(flags)}) + "\x0atracestate\x08vendor=v", nil},
			"ids":             {plain, string([]byte{0x10 | byte(flags)}) + ids, []propagation.TextMapPropagator{w3c, composite}},
			"ids and a state": {full, string([]byte{0x10 | byte(flags)}) + ids + "\x0atracestate\x08vendor=v", []propagation.TextMapPropagator{w3c, composite}},
		} {
			if read := uncarry([]byte(c.carrier), w3c); !read.Equal(c.span) {
				t.Errorf("%s with flags %v: read %+v", name, flags, read)
			}
			for _, propagator := range c.written {
				if data := carry(trace.ContextWithSpanContext(t.Context(), c.span), propagator); string(data) != c.carrier {
					t.Errorf("%s with flags %v: wrote %q, want %q", name, flags, data, c.carrier)
				}
			}
		}
	}
}

// Only flags that fit into the mark go there.
func TestUnusualTraceparentsStayText(t *testing.T) {
	usual := traceparent([]byte("0123456789abcdefspan-id!"), 1)
	if packed, ok := packTraceparent(usual); !ok || len(packed) != 1+idsSize {
		t.Errorf("%q became %q", usual, packed)
	}
	for _, s := range []string{"", usual[:53] + "10", usual[:53] + "ff", "01" + usual[2:], usual + "-x", usual[:53] + "0A", usual[:53] + "zz"} {
		if packed, ok := packTraceparent(s); ok {
			t.Errorf("%q became %q", s, packed)
		}
	}
}
