package idemhttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// wantProblem checks a response of the middleware's own.
func wantProblem(t *testing.T, a answer, status int, code string) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Errorf("%v %q: %v", a.Status, a.body, err)
	}
	if a.StatusCode != status || body["code"] != code || body["status"] != float64(status) || body["title"] == "" {
		t.Errorf("got %v %q, want %d %s", a.Status, a.body, status, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if a.replayed() {
		t.Error("a problem is marked as a replay")
	}
	return body
}

func wantRetryAfter(t *testing.T, a answer, least, most int) {
	t.Helper()
	if n, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || n < least || n > most {
		t.Errorf("Retry-After is %q, want %d to %d", a.Header.Get("Retry-After"), least, most)
	}
}

func mustNotRun(t *testing.T) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }
}

func TestMissingKey(t *testing.T) {
	server := serve(t, idemhttp.Options{Required: true, Docs: "https://example.com/idempotency"}, mustNotRun(t))
	a := post(t, server, "", "")
	body := wantProblem(t, a, http.StatusBadRequest, idemhttp.CodeKeyMissing)
	if body["title"] != "Idempotency-Key is missing" || body["type"] != "https://example.com/idempotency" {
		t.Errorf("%v", body)
	}
	if link := a.Header.Get("Link"); link != `<https://example.com/idempotency>; rel="describedby"` {
		t.Errorf("Link: %s", link)
	}
	if a.Header.Get("Retry-After") != "" {
		t.Error("there is no use in a retry")
	}
}

func TestKeyIsOptional(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{}, func(_ http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		if _, ok := idempotency.ExecutionOf(r.Context()); ok {
			t.Error("protected without a key")
		}
	})
	for range 2 {
		if a := post(t, server, "", "x"); a.StatusCode != http.StatusOK || a.replayed() {
			t.Errorf("%v", a.Status)
		}
	}
	if runs.Load() != 2 {
		t.Errorf("ran %d times", runs.Load())
	}
}

func TestOtherMethodsPass(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{Required: true}, func(http.ResponseWriter, *http.Request) { runs.Add(1) })
	for _, method := range []string{"GET", "PUT", "DELETE", "HEAD", "OPTIONS"} {
		for range 2 {
			r := request(t, server.URL, "k", "")
			r.Method = method
			if a := send(t, server.Client(), r); a.StatusCode != http.StatusOK {
				t.Errorf("%s: %v", method, a.Status)
			}
		}
	}
	if runs.Load() != 10 {
		t.Errorf("ran %d times", runs.Load())
	}
}

func TestMalformedKeys(t *testing.T) {
	server := serve(t, idemhttp.Options{MaxKey: 10}, mustNotRun(t))
	for _, values := range [][]string{
		{""}, {`""`}, {`"a`}, {`"a";p=1`}, {`"a", "b"`}, {"a, b"}, {"a", "b"}, {`"a"`, `"a"`}, {"schlüssel"}, {strings.Repeat("k", 11)},
	} {
		r := request(t, server.URL, "", "")
		r.Header["Idempotency-Key"] = values
		body := wantProblem(t, send(t, server.Client(), r), http.StatusBadRequest, idemhttp.CodeKeyMalformed)
		if detail, _ := body["detail"].(string); detail == "" {
			t.Errorf("%q: no detail", values)
		}
	}
}

func TestQuotedAndRawAreTheSameKey(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{}, func(http.ResponseWriter, *http.Request) { runs.Add(1) })
	for i, key := range []string{"abc-1", `"abc-1"`, ` "abc-1"`} {
		if a := post(t, server, key, ""); a.StatusCode != http.StatusOK || a.replayed() != (i > 0) {
			t.Errorf("%s: %v, replayed %v", key, a.Status, a.replayed())
		}
	}
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

func TestStrictKeys(t *testing.T) {
	server := serve(t, idemhttp.Options{Strict: true}, func(http.ResponseWriter, *http.Request) {})
	wantProblem(t, post(t, server, "raw", ""), http.StatusBadRequest, idemhttp.CodeKeyMalformed)
	if a := post(t, server, `"quoted"`, ""); a.StatusCode != http.StatusOK {
		t.Error(a.Status)
	}
}

func TestOtherHeaderNames(t *testing.T) {
	server := serve(t, idemhttp.Options{Required: true, Headers: []string{"x-request-key", "Idempotency-Key"}}, func(http.ResponseWriter, *http.Request) {})
	if a := post(t, server, "", "", "X-Request-Key", "k"); a.StatusCode != http.StatusOK {
		t.Error(a.Status)
	}
	if a := post(t, server, "k", ""); !a.replayed() {
		t.Error("the other header has another key")
	}
	wantProblem(t, post(t, server, "k", "", "X-Request-Key", "k"), http.StatusBadRequest, idemhttp.CodeKeyMalformed)
	body := wantProblem(t, post(t, server, "", ""), http.StatusBadRequest, idemhttp.CodeKeyMissing)
	if body["title"] != "X-Request-Key is missing" {
		t.Errorf("%v", body)
	}
}

// Method, path, query, body and chosen headers: after the first request has
// finished, and while it runs.
func TestAnotherPayload(t *testing.T) {
	var runs atomic.Int32
	inside, goOn := make(chan struct{}), make(chan struct{})
	server := serve(t, idemhttp.Options{
		Methods: []string{"POST", "PUT"}, FingerprintHeaders: []string{"content-type", "Host"},
		WaitTimeout: 10 * time.Second, // one that is taken for the same would wait
	}, func(w http.ResponseWriter, r *http.Request) {
		if runs.Add(1) == 1 {
			close(inside)
			<-goOn
		}
		io.WriteString(w, "secret of the first request")
	})
	first := func() *http.Request {
		return request(t, server.URL+"/a?x=1", "k", "body", "Content-Type", "text/plain")
	}
	others := map[string]func(*http.Request){
		"body":           func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("bodz")) },
		"empty body":     func(r *http.Request) { r.Body, r.ContentLength = nil, 0 },
		"method":         func(r *http.Request) { r.Method = "PUT" },
		"path":           func(r *http.Request) { r.URL.Path = "/b" },
		"escaped path":   func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/", "/a%2F" },
		"query":          func(r *http.Request) { r.URL.RawQuery = "x=2" },
		"no query":       func(r *http.Request) { r.URL.RawQuery = "" },
		"header":         func(r *http.Request) { r.Header.Set("Content-Type", "text/html") },
		"header twice":   func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") },
		"header missing": func(r *http.Request) { r.Header.Del("Content-Type") },
		"host":           func(r *http.Request) { r.Host = "elsewhere.example" },
		"no separator":   func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/ax=1", "" },
		"body into query": func(r *http.Request) {
			r.URL.RawQuery, r.Body, r.ContentLength = "x=1b", io.NopCloser(strings.NewReader("ody")), 3
		},
		"query into path": func(r *http.Request) { r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/a?x=1", "/a%3Fx=1", "" },
	}
	executed := make(chan answer, 1)
	go func() { executed <- send(t, server.Client(), first()) }()
	<-inside
	mismatches := func(when string) {
		for name, change := range others {
			r := first()
			change(r)
			a := send(t, server.Client(), r)
			if strings.Contains(a.body, "secret") {
				t.Errorf("%s, %s: leaks the first response", when, name)
			}
			if body := wantProblem(t, a, http.StatusUnprocessableEntity, idemhttp.CodeKeyReused); body["title"] != "Idempotency-Key is already used" {
				t.Errorf("%s, %s: %v", when, name, body)
			}
		}
	}
	mismatches("in flight")
	close(goOn)
	<-executed
	mismatches("afterwards")
	r := first()
	r.Header.Set("X-Other", "not chosen")
	if a := send(t, server.Client(), r); !a.replayed() || a.body != "secret of the first request" {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

func TestSecretChangesTheFingerprint(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	var servers []*httptest.Server
	for _, secret := range []string{"", "one", "one", "two"} {
		server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{FingerprintSecret: []byte(secret)})(handler))
		defer server.Close()
		servers = append(servers, server)
	}
	post(t, servers[1], "k", "")
	if a := post(t, servers[2], "k", ""); !a.replayed() {
		t.Error(a.Status)
	}
	for _, i := range []int{0, 3} {
		wantProblem(t, post(t, servers[i], "k", ""), http.StatusUnprocessableEntity, idemhttp.CodeKeyReused)
	}
}

func TestOwnFingerprint(t *testing.T) {
	server := serve(t, idemhttp.Options{Fingerprint: func(r *http.Request, body []byte) ([]byte, error) {
		switch amount := string(body); amount {
		case "teapot":
			return nil, fmt.Errorf("wrapped: %w", &idemhttp.Problem{Status: http.StatusTeapot, Code: "teapot", Title: "Short and stout"})
		case "broken":
			return nil, errors.New("no JSON")
		default:
			return []byte(strings.ToLower(amount)), nil
		}
	}}, write("ok"))
	post(t, server, "k", "amount")
	if a := post(t, server, "k", "AMOUNT"); !a.replayed() {
		t.Error(a.Status)
	}
	wantProblem(t, post(t, server, "k", "other"), http.StatusUnprocessableEntity, idemhttp.CodeKeyReused)
	wantProblem(t, post(t, server, "k", "teapot"), http.StatusTeapot, "teapot")
	if a := post(t, server, "k", "broken"); a.StatusCode != http.StatusBadRequest || strings.Contains(a.body, "no JSON") {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// No scope's client reads another's response.
func TestScopes(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{Scope: func(r *http.Request) (string, error) {
		switch user := r.Header.Get("X-User"); user {
		case "nobody":
			return "", errors.New("not logged in")
		case "stranger":
			return "", &idemhttp.Problem{Status: http.StatusUnauthorized, Title: "Who are you?"}
		default:
			return user, nil
		}
	}}, func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		io.WriteString(w, "for "+r.Header.Get("X-User"))
	})
	for i, test := range []struct{ user, key string }{{"a", "b:c"}, {"a:b", "c"}, {"a", "c"}, {"1:a", "b"}} {
		for again := range 2 {
			a := post(t, server, test.key, "", "X-User", test.user)
			if a.body != "for "+test.user || a.replayed() != (again == 1) {
				t.Errorf("%v: %q, replayed %v", test, a.body, a.replayed())
			}
		}
		if n := int(runs.Load()); n != i+1 {
			t.Errorf("%v: %d runs", test, n)
		}
	}
	if a := post(t, server, "k", "", "X-User", "nobody"); strings.Contains(a.body, "logged in") {
		t.Errorf("shows the error: %q", a.body)
	} else {
		wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeInternal)
	}
	wantProblem(t, post(t, server, "k", ""), http.StatusInternalServerError, idemhttp.CodeInternal)
	if a := post(t, server, "k", "", "X-User", "stranger"); a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, "Who are you?") {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

func TestOwnProblems(t *testing.T) {
	server := serve(t, idemhttp.Options{Required: true, Docs: "https://example.com", Problem: func(w http.ResponseWriter, r *http.Request, p *idemhttp.Problem) {
		http.Error(w, p.Code+" "+p.Type, http.StatusTeapot)
	}}, mustNotRun(t))
	if a := post(t, server, "", ""); a.StatusCode != http.StatusTeapot || a.body != "key_missing https://example.com\n" {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// A request that is told not to wait gets 409 and when to come back.
func TestInProgress(t *testing.T) {
	store := newStore(t)
	inside, goOn := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-goOn
		io.WriteString(w, "done")
	})
	serveOn := func(options idemhttp.Options) *httptest.Server {
		x := newExecutor(t, store, idempotency.Options{Lease: 20 * time.Second})
		server := httptest.NewServer(newMiddleware(t, x, options)(handler))
		t.Cleanup(server.Close)
		return server
	}
	first := serveOn(idemhttp.Options{NoWait: true})
	executed := make(chan answer, 1)
	go func() { executed <- post(t, first, "k", "") }()
	<-inside
	for _, server := range []*httptest.Server{first, serveOn(idemhttp.Options{NoWait: true}), serveOn(idemhttp.Options{WaitTimeout: 50 * time.Millisecond})} {
		a := post(t, server, "k", "")
		body := wantProblem(t, a, http.StatusConflict, idemhttp.CodeInProgress)
		if body["title"] != "A request is outstanding for this Idempotency-Key" {
			t.Errorf("%v", body)
		}
		wantRetryAfter(t, a, 10, 20)
	}
	close(goOn)
	if a := <-executed; a.body != "done" {
		t.Errorf("%v %q", a.Status, a.body)
	}
	if a := post(t, first, "k", ""); a.body != "done" || !a.replayed() {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// down is a store that can't be reached.
type down struct{ backend.Backend }

func (down) Claim(context.Context, string, backend.ClaimRequest) (backend.Record, error) {
	return backend.Record{}, fmt.Errorf("connection refused: %w", backend.ErrNotApplied)
}

func TestStoreIsDown(t *testing.T) {
	x := newExecutor(t, down{newStore(t)}, idempotency.Options{})
	server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{})(mustNotRun(t)))
	defer server.Close()
	a := post(t, server, "k", "")
	wantProblem(t, a, http.StatusServiceUnavailable, idemhttp.CodeUnavailable)
	wantRetryAfter(t, a, 1, 60)
	if strings.Contains(a.body, "refused") {
		t.Errorf("shows the store's error: %q", a.body)
	}
}

func TestFailOpenIsVisible(t *testing.T) {
	x := newExecutor(t, down{newStore(t)}, idempotency.Options{FailOpen: true})
	var runs atomic.Int32
	server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{ResponseHeaders: []string{"*"}})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		io.WriteString(w, "ran")
	})))
	defer server.Close()
	for range 2 {
		a := post(t, server, "k", "")
		if a.StatusCode != http.StatusOK || a.body != "ran" || a.Header.Get("Idempotency-Unprotected") != "true" || a.replayed() {
			t.Errorf("%v %q %v", a.Status, a.body, a.Header)
		}
	}
	if runs.Load() != 2 {
		t.Errorf("ran %d times", runs.Load())
	}
}
