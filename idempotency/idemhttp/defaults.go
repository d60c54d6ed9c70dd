package idemhttp

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// withDefaults returns the options with every zero field filled in, or an error
// that names the first field that is out of its bounds.
func (o Options) withDefaults() (Options, error) {
	if o.Scope == nil {
		return o, optionError("Scope is nil: it says which client a key belongs to; idemhttp.Global where all are one")
	}
	if o.Headers == nil {
		o.Headers = []string{"Idempotency-Key"}
	}
	if o.Methods == nil {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	if o.ResponseHeaders == nil {
		o.ResponseHeaders = DefaultResponseHeaders()
	}
	if o.ReplayedHeader == "" {
		o.ReplayedHeader = "Idempotency-Replayed"
	}
	if o.UnprotectedHeader == "" {
		o.UnprotectedHeader = "Idempotency-Unprotected"
	}
	if o.Name == "" {
		o.Name = "http"
	}
	if o.Problem == nil {
		o.Problem = WriteProblem
	}
	o.FingerprintSecret = slices.Clone(o.FingerprintSecret)
	for _, list := range []struct {
		name   string
		values *[]string
		what   func(string) bool
	}{
		{"Headers", &o.Headers, isToken},
		{"Methods", &o.Methods, isToken},
		{"FingerprintHeaders", &o.FingerprintHeaders, isToken},
		{"ResponseHeaders", &o.ResponseHeaders, func(s string) bool { return s == "*" || isToken(strings.TrimSuffix(s, "*")) }},
	} {
		if len(*list.values) == 0 && list.name != "ResponseHeaders" && list.name != "FingerprintHeaders" {
			return o, optionError("%s is empty; nil is the default", list.name)
		}
		*list.values = slices.Clone(*list.values)
		for i, value := range *list.values {
			if !list.what(value) {
				return o, optionError("%s[%d] is %q, want a name", list.name, i, value)
			}
			if list.name != "Methods" {
				(*list.values)[i] = textproto.CanonicalMIMEHeaderKey(value)
			}
		}
	}
	for i, name := range o.ResponseHeaders {
		if neverRecorded(name) {
			return o, optionError("ResponseHeaders[%d] is %s, which is never recorded", i, name)
		}
	}
	slices.Sort(o.FingerprintHeaders)
	o.FingerprintHeaders = slices.Compact(o.FingerprintHeaders)
	for _, header := range []struct {
		name  string
		value *string
	}{{"ReplayedHeader", &o.ReplayedHeader}, {"UnprotectedHeader", &o.UnprotectedHeader}} {
		if !isToken(*header.value) {
			return o, optionError("%s is %q, want a name", header.name, *header.value)
		}
		*header.value = textproto.CanonicalMIMEHeaderKey(*header.value)
	}
	if err := fillSize("MaxBody", &o.MaxBody, DefaultMaxBody, MaxMaxBody); err != nil {
		return o, err
	}
	for _, size := range []struct {
		name          string
		value         *int
		standard, max int
	}{
		{"MaxKey", &o.MaxKey, MaxKeyLength, MaxKeyLength},
		{"MaxResponse", &o.MaxResponse, DefaultMaxResponse, idempotency.MaxMaxPayload},
	} {
		if err := fillSize(size.name, size.value, size.standard, size.max); err != nil {
			return o, err
		}
	}
	switch {
	case len(o.FingerprintSecret) > MaxFingerprintSecret:
		return o, optionError("FingerprintSecret has %d bytes, want at most %d", len(o.FingerprintSecret), MaxFingerprintSecret)
	case o.Fingerprint != nil && (len(o.FingerprintHeaders) > 0 || len(o.FingerprintSecret) > 0):
		return o, optionError("Fingerprint is set, but so is FingerprintHeaders or FingerprintSecret, which it replaces")
	case o.RetentionFor != nil && o.RecordServerErrors:
		return o, optionError("RetentionFor is set, but so is RecordServerErrors, which it replaces")
	case strings.ContainsFunc(o.Docs, func(c rune) bool { return c <= ' ' || c == '<' || c == '>' || c == '"' || c >= 0x7f }):
		return o, optionError("Docs is %q, want a URL", o.Docs)
	}
	return o, nil
}

func fillSize[N int | int64](name string, value *N, standard, most N) error {
	switch {
	case *value == 0:
		*value = standard
	case *value < 0 || *value > most:
		return optionError("%s is %d, want 1 to %d, or 0 for %d", name, *value, most, standard)
	}
	return nil
}

func optionError(format string, args ...any) error {
	return &idempotency.Error{Step: "options", Err: fmt.Errorf("idemhttp.Options."+format, args...)}
}

// isToken: RFC 9110, section 5.6.2.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return true
}
