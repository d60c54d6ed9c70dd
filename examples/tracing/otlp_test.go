package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestExporterWritesOTLP(t *testing.T) {
	c, url := newCollector(t)
	exporter, err := newOTLPExporter(environment(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": url + "/", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20abc, x-tenant = one",
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer exporter.Shutdown(t.Context())
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.instance.id", "one"))))
	defer provider.Shutdown(context.Background())
	to := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{0xcd}, TraceFlags: trace.FlagsSampled, Remote: true})
	ctx, parent := provider.Tracer("a").Start(t.Context(), "parent", trace.WithSpanKind(trace.SpanKindServer))
	_, child := provider.Tracer("b").Start(ctx, "child", trace.WithLinks(trace.Link{SpanContext: to}), trace.WithAttributes(
		attribute.String("s", "\"<&\x00\xff"), attribute.Int64("i", 1<<60), attribute.Bool("b", false),
		attribute.Float64("f", .25), attribute.StringSlice("l", []string{"x", "y"})))
	child.SetStatus(codes.Error, "text")
	child.End()
	parent.SetStatus(codes.Ok, "")
	parent.End()

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header.Get("Authorization") != "Basic abc" || c.header.Get("X-Tenant") != "one" {
		t.Errorf("headers: %v", c.header)
	}
	if len(c.spans) != 2 {
		t.Fatalf("%d spans, want 2: %s", len(c.spans), &c.bodies)
	}
	got, above := c.spans[0], c.spans[1]
	if got.TraceId != child.SpanContext().TraceID().String() || got.SpanId != child.SpanContext().SpanID().String() ||
		got.ParentSpanId != above.SpanId || above.ParentSpanId != "" || above.Kind != 2 || got.Kind != 1 || got.instance != "one" {
		t.Errorf("child %+v, parent %+v", got, above)
	}
	if got.Status.Code != 2 || got.Status.Message != "text" || above.Status.Code != 1 {
		t.Errorf("status %+v and %+v", got.Status, above.Status)
	}
	if len(got.Links) != 1 || got.Links[0].TraceId != to.TraceID().String() || got.Links[0].SpanId != to.SpanID().String() || got.Links[0].Flags != 0x301 {
		t.Errorf("links %+v", got.Links)
	}
	body := c.bodies.String()
	for _, want := range []string{
		`{"key":"i","value":{"intValue":"1152921504606846976"}}`, `{"key":"b","value":{"boolValue":false}}`,
		`{"key":"f","value":{"doubleValue":0.25}}`, `{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the body has no %s:\n%s", want, body)
		}
	}
	if start, err := got.StartTimeUnixNano.Int64(); err != nil || start != child.(sdktrace.ReadOnlySpan).StartTime().UnixNano() {
		t.Errorf("start %v, %v", start, err)
	}
}

func TestExporterTellsARefusal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "quota exceeded", http.StatusTooManyRequests)
	}))
	defer server.Close()
	exporter, err := newOTLPExporter(environment(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	defer exporter.Shutdown(t.Context())
	err = exporter.ExportSpans(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "429") || !strings.Contains(err.Error(), "quota exceeded") {
		t.Errorf("error %v", err)
	}
}

func TestExporterOfTheEnvironment(t *testing.T) {
	if exporter, err := newOTLPExporter(environment(nil)); exporter != nil || err != nil {
		t.Errorf("without an endpoint: %v, %v", exporter, err)
	}
	for _, wrong := range []map[string]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4318"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://localhost:4317"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS": "s3cret"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=%zzs3cret"},
	} {
		if _, err := newOTLPExporter(environment(wrong)); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}
