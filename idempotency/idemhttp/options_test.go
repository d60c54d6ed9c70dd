package idemhttp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

func TestOptions(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	for field, change := range map[string]func(*idemhttp.Options){
		"Scope":            func(o *idemhttp.Options) { o.Scope = nil },
		"Headers is empty": func(o *idemhttp.Options) { o.Headers = []string{} },
		"Headers[1]":       func(o *idemhttp.Options) { o.Headers = []string{"A", "B C"} },
		"Methods is empty": func(o *idemhttp.Options) { o.Methods = []string{} },
		"Methods[0]":       func(o *idemhttp.Options) { o.Methods = []string{""} },
		"MaxKey":           func(o *idemhttp.Options) { o.MaxKey = -1 },
		"MaxKey is 256":    func(o *idemhttp.Options) { o.MaxKey = 256 },
		"MaxBody":          func(o *idemhttp.Options) { o.MaxBody = -1 },
		"MaxBody is 1073741825": func(o *idemhttp.Options) {
			o.MaxBody = idemhttp.MaxMaxBody + 1
		},
		"MaxResponse":           func(o *idemhttp.Options) { o.MaxResponse = -1 },
		"MaxResponse is 5":      func(o *idemhttp.Options) { o.MaxResponse = idempotency.MaxMaxPayload + 1 },
		"FingerprintHeaders[0]": func(o *idemhttp.Options) { o.FingerprintHeaders = []string{"a:b"} },
		"FingerprintSecret":     func(o *idemhttp.Options) { o.FingerprintSecret = make([]byte, idemhttp.MaxFingerprintSecret+1) },
		"Fingerprint is set": func(o *idemhttp.Options) {
			o.Fingerprint = func(*http.Request, []byte) ([]byte, error) { return nil, nil }
			o.FingerprintSecret = []byte("s")
		},
		"WaitTimeout": func(o *idemhttp.Options) { o.WaitTimeout = -1 },
		"RetentionFor": func(o *idemhttp.Options) {
			o.RetentionFor, o.RecordServerErrors = idemhttp.StandardRetention, true
		},
		"ResponseHeaders[0]":            func(o *idemhttp.Options) { o.ResponseHeaders = []string{"X *"} },
		"ResponseHeaders[1] is Set-Coo": func(o *idemhttp.Options) { o.ResponseHeaders = []string{"Location", "set-cookie"} },
		"ResponseHeaders[0] is Authori": func(o *idemhttp.Options) { o.ResponseHeaders = []string{"authorization"} },
		"ResponseHeaders[0] is Connect": func(o *idemhttp.Options) { o.ResponseHeaders = []string{"Connection"} },
		"ReplayedHeader":                func(o *idemhttp.Options) { o.ReplayedHeader = "a b" },
		"UnprotectedHeader":             func(o *idemhttp.Options) { o.UnprotectedHeader = "a b" },
		"Docs":                          func(o *idemhttp.Options) { o.Docs = "https://example.com/>; rel=x" },
		"Name":                          func(o *idemhttp.Options) { o.Name = strings.Repeat("n", 257) },
		"Retention":                     func(o *idemhttp.Options) { o.Retention = time.Second },
		"OnAbandoned":                   func(o *idemhttp.Options) { o.OnAbandoned = 9 },
		"Reconcile is nil":              func(o *idemhttp.Options) { o.OnAbandoned = idempotency.Reconcile },
		"Reconcile is set": func(o *idemhttp.Options) {
			o.OnAbandoned = idempotency.Fail
			o.Reconcile = func(context.Context, idempotency.Abandoned) (idempotency.Decision[*idemhttp.Response], error) {
				return idempotency.Unknown[*idemhttp.Response](), nil
			}
		},
		"MaxAttempts": func(o *idemhttp.Options) { o.MaxAttempts = -1 },
	} {
		o := idemhttp.Options{Scope: idemhttp.Global}
		change(&o)
		_, err := idemhttp.New(x, o)
		var own *idempotency.Error
		if !errors.As(err, &own) || own.Step != "options" || !strings.Contains(err.Error(), "Options."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := idemhttp.New(nil, idemhttp.Options{Scope: idemhttp.Global}); err == nil || !strings.Contains(err.Error(), "executor") {
		t.Errorf("without an executor: %v", err)
	}
	if _, err := idemhttp.New(x, idemhttp.Options{Scope: idemhttp.Global, ResponseHeaders: []string{}, FingerprintHeaders: []string{}}); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic for a nil handler")
		}
	}()
	newMiddleware(t, x, idemhttp.Options{})(nil)
}

// What the caller does to its lists later changes nothing.
func TestOptionsAreCopied(t *testing.T) {
	methods, secret := []string{"PUT"}, []byte("s")
	server := serve(t, idemhttp.Options{Methods: methods, FingerprintSecret: secret, Required: true}, write("ok"))
	methods[0], secret[0] = "GET", 'x'
	r := request(t, server.URL, "", "")
	r.Method = "PUT"
	wantProblem(t, send(t, server.Client(), r), http.StatusBadRequest, idemhttp.CodeKeyMissing)
}
