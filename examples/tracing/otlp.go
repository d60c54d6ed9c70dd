package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// An application takes go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp.
// This example is in the library's module, and with that exporter everybody who
// imports the library would have gRPC and the protobuf packages of OTLP among the
// requirements of their own module. So here is the little of OTLP/HTTP that it
// needs: traces in the JSON encoding, one attempt, no compression.
type otlpExporter struct {
	url     string
	headers http.Header
	client  *http.Client
}

// newOTLPExporter makes an exporter as the environment says; nil where
// OTEL_EXPORTER_OTLP_ENDPOINT isn't set.
func newOTLPExporter(getenv func(string) string) (*otlpExporter, error) {
	const endpointVar, headersVar = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
	endpoint := strings.TrimSpace(getenv(endpointVar))
	if endpoint == "" {
		return nil, nil
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%s is no http or https URL: %q", endpointVar, endpoint)
	}
	e := &otlpExporter{
		url: strings.TrimSuffix(endpoint, "/") + "/v1/traces", headers: http.Header{}, client: &http.Client{Timeout: 10 * time.Second},
	}
	for pair := range strings.SplitSeq(getenv(headersVar), ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			// Without the pair itself: it is often a secret.
			return nil, fmt.Errorf("%s is no list of name=value, with values percent-encoded", headersVar)
		}
		e.headers.Add(name, value)
	}
	return e, nil
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *otlpExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(newOTLPRequest(spans))
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = e.headers.Clone()
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("%w (OTLP/HTTP is usually on port 4318)", err)
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		return fmt.Errorf("%s answered %s: %s", e.url, response.Status, bytes.TrimSpace(text))
	}
	_, _ = io.Copy(io.Discard, response.Body) // so that the connection can be used again
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *otlpExporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// The messages of OTLP in its JSON encoding: field names in lowerCamelCase, IDs in
// hex, 64-bit integers as strings, enums as numbers.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name    string `json:"name"`
		Version string `json:"version,omitempty"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		TraceState string          `json:"traceState,omitempty"`
		ParentID   string          `json:"parentSpanId,omitempty"`
		Flags      uint32          `json:"flags,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		StartTime  int64           `json:"startTimeUnixNano,string"`
		EndTime    int64           `json:"endTimeUnixNano,string"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Events     []otlpEvent     `json:"events,omitempty"`
		Links      []otlpLink      `json:"links,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpEvent struct {
		Time       int64           `json:"timeUnixNano,string"`
		Name       string          `json:"name"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpLink struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		TraceState string          `json:"traceState,omitempty"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Flags      uint32          `json:"flags,omitempty"`
	}
	otlpStatus struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct { // one is set
		String *string    `json:"stringValue,omitempty"`
		Bool   *bool      `json:"boolValue,omitempty"`
		Int    *int64     `json:"intValue,omitempty,string"`
		Double *float64   `json:"doubleValue,omitempty"`
		Array  *otlpArray `json:"arrayValue,omitempty"`
	}
	otlpArray struct {
		Values []otlpValue `json:"values"`
	}
)

// newOTLPRequest groups spans by their resource and scope. All spans of a process
// have the same resource.
func newOTLPRequest(spans []sdktrace.ReadOnlySpan) otlpRequest {
	var request otlpRequest
	resources := map[*resource.Resource]int{}
	type scopeOf struct {
		resource      int
		name, version string
	}
	scopes := map[scopeOf]int{}
	for _, s := range spans {
		r, ok := resources[s.Resource()]
		if !ok {
			r = len(request.ResourceSpans)
			resources[s.Resource()] = r
			request.ResourceSpans = append(request.ResourceSpans, otlpResourceSpans{
				Resource: otlpResource{Attributes: otlpAttributes(s.Resource().Attributes())},
			})
		}
		in := &request.ResourceSpans[r]
		scope := s.InstrumentationScope()
		at := scopeOf{r, scope.Name, scope.Version}
		i, ok := scopes[at]
		if !ok {
			i = len(in.ScopeSpans)
			scopes[at] = i
			in.ScopeSpans = append(in.ScopeSpans, otlpScopeSpans{Scope: otlpScope{Name: scope.Name, Version: scope.Version}})
		}
		in.ScopeSpans[i].Spans = append(in.ScopeSpans[i].Spans, newOTLPSpan(s))
	}
	return request
}

func newOTLPSpan(s sdktrace.ReadOnlySpan) otlpSpan {
	context := s.SpanContext()
	span := otlpSpan{
		TraceID: context.TraceID().String(), SpanID: context.SpanID().String(), TraceState: context.TraceState().String(),
		Flags: uint32(context.TraceFlags()), Name: s.Name(), Kind: int(s.SpanKind()), // the numbers are the same
		StartTime: s.StartTime().UnixNano(), EndTime: s.EndTime().UnixNano(), Attributes: otlpAttributes(s.Attributes()),
	}
	if s.Parent().HasSpanID() {
		span.ParentID = s.Parent().SpanID().String()
	}
	for _, e := range s.Events() {
		span.Events = append(span.Events, otlpEvent{Time: e.Time.UnixNano(), Name: e.Name, Attributes: otlpAttributes(e.Attributes)})
	}
	for _, l := range s.Links() {
		span.Links = append(span.Links, newOTLPLink(l))
	}
	switch status := s.Status(); status.Code { // the numbers are not the same
	case codes.Ok:
		span.Status.Code = 1
	case codes.Error:
		span.Status = otlpStatus{Code: 2, Message: status.Description}
	}
	return span
}

func newOTLPLink(l sdktrace.Link) otlpLink {
	to := l.SpanContext
	const hasIsRemote, isRemote = 1 << 8, 1 << 9
	flags := uint32(to.TraceFlags()) | hasIsRemote
	if to.IsRemote() {
		flags |= isRemote
	}
	return otlpLink{
		TraceID: to.TraceID().String(), SpanID: to.SpanID().String(), TraceState: to.TraceState().String(),
		Attributes: otlpAttributes(l.Attributes), Flags: flags,
	}
}

func otlpAttributes(attributes []attribute.KeyValue) []otlpAttribute {
	var out []otlpAttribute
	for _, a := range attributes {
		out = append(out, otlpAttribute{Key: string(a.Key), Value: newOTLPValue(a.Value)})
	}
	return out
}

func newOTLPValue(v attribute.Value) otlpValue {
	switch v.Type() {
	case attribute.BOOL:
		b := v.AsBool()
		return otlpValue{Bool: &b}
	case attribute.INT64:
		i := v.AsInt64()
		return otlpValue{Int: &i}
	case attribute.FLOAT64:
		f := v.AsFloat64()
		return otlpValue{Double: &f}
	case attribute.STRINGSLICE:
		array := &otlpArray{Values: []otlpValue{}}
		for _, s := range v.AsStringSlice() {
			array.Values = append(array.Values, otlpValue{String: &s})
		}
		return otlpValue{Array: array}
	}
	s := v.String()
	return otlpValue{String: &s}
}

var (
	_ sdktrace.SpanExporter  = (*otlpExporter)(nil)
	_ sdktrace.SpanProcessor = (*lines)(nil)
)
