package idemhttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// What a retry gets after each status, and what the store then knows.
func TestStatusPolicy(t *testing.T) {
	for _, test := range []struct {
		options  idemhttp.Options
		statuses []int
		state    backend.State // after the first request
	}{
		{statuses: []int{200, 201, 202, 204, 299, 301, 303, 304, 400, 401, 403, 404, 409, 410, 412, 422, 451, 499}, state: backend.Completed},
		{statuses: []int{408, 425, 429}, state: backend.Vacant},
		{statuses: []int{500, 501, 502, 503, 504, 599}, state: backend.Abandoned},
		{options: idemhttp.Options{RecordServerErrors: true}, statuses: []int{200, 404, 500, 503}, state: backend.Completed},
		{options: idemhttp.Options{RecordServerErrors: true}, statuses: []int{408, 425, 429}, state: backend.Vacant},
		{options: idemhttp.Options{RetentionFor: func(r *idemhttp.Response, _ any) idempotency.RetentionChoice {
			if string(r.Body) != "body" && r.Status != 204 {
				return idempotency.Default
			}
			return idempotency.DoNotRecord
		}}, statuses: []int{200, 204, 500}, state: backend.Vacant},
	} {
		for _, status := range test.statuses {
			x := newExecutor(t, newStore(t), idempotency.Options{})
			var runs atomic.Int32
			server := httptest.NewServer(newMiddleware(t, x, test.options)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				runs.Add(1)
				w.WriteHeader(status)
				io.WriteString(w, "body")
			})))
			client := *server.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			first := send(t, &client, request(t, server.URL, "k", ""))
			info, err := x.Lookup(t.Context(), idemhttp.Key("global", "k"))
			if err != nil || info.State != test.state {
				t.Errorf("%d: %v, %v, want %v", status, info.State, err, test.state)
			}
			second := send(t, &client, request(t, server.URL, "k", ""))
			recorded := test.state == backend.Completed
			if first.StatusCode != status || second.StatusCode != status || second.body != first.body || second.replayed() != recorded {
				t.Errorf("%d: got %v, then %v, replayed %v", status, first.Status, second.Status, second.replayed())
			}
			if want := map[bool]int32{true: 1, false: 2}[recorded]; runs.Load() != want {
				t.Errorf("%d: ran %d times, want %d", status, runs.Load(), want)
			}
			server.Close()
		}
	}
}

// A panic cuts the executing client off, as without the middleware, and the retry
// runs; with RecordServerErrors the panic is recorded.
func TestPanics(t *testing.T) {
	for _, record := range []bool{false, true} {
		for name, handler := range map[string]http.HandlerFunc{
			"panic":           func(http.ResponseWriter, *http.Request) { panic("boom") },
			"ErrAbortHandler": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"after a write": func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "half a resp")
				panic(http.ErrAbortHandler)
			},
			"after a flush": func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "half a resp")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			},
			"too large": func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, strings.Repeat("half a resp", 1000))
				panic("boom")
			},
		} {
			t.Run(name, func(t *testing.T) {
				var runs atomic.Int32
				protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{RecordServerErrors: record, MaxResponse: 1000})
				server := start(t, "HTTP/1.1", protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if runs.Add(1) == 1 {
						handler(w, r)
					}
					io.WriteString(w, "whole")
				})))
				response, err := server.Client().Do(request(t, server.URL, "k", ""))
				if err == nil {
					_, err = io.ReadAll(response.Body)
					response.Body.Close()
				}
				if err == nil {
					t.Error("the executing client got a whole response")
				}
				a := post(t, server, "k", "")
				if !record {
					if a.body != "whole" || a.replayed() || runs.Load() != 2 {
						t.Errorf("%v %q, ran %d times", a.Status, a.body, runs.Load())
					}
					return
				}
				wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeFailed)
				if strings.Contains(a.body, "boom") || runs.Load() != 1 {
					t.Errorf("%q, ran %d times", a.body, runs.Load())
				}
			})
		}
	}
}

// The panic reaches what is outside as it is, with its stack below it.
func TestPanicValueIsKept(t *testing.T) {
	boom := errors.New("boom")
	protected := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(boom) }))
	defer func() {
		if v := recover(); v != boom {
			t.Errorf("panic %v", v)
		}
	}()
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Idempotency-Key", "k")
	protected.ServeHTTP(httptest.NewRecorder(), r)
}

// crash leaves a key as a process leaves it that died in its handler.
func crash(t *testing.T, store backend.Backend, server func(*idempotency.Executor, http.Handler) *httptest.Server) {
	t.Helper()
	x := newExecutor(t, store, idempotency.Options{})
	broken := server(x, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if response, err := broken.Client().Do(request(t, broken.URL+"/pay", "k", "12")); err == nil {
		response.Body.Close()
		t.Fatal(response.Status)
	}
}

func TestAfterACrash(t *testing.T) {
	finds := func(d idempotency.Decision[*idemhttp.Response], err error) func(context.Context, idempotency.Abandoned) (idempotency.Decision[*idemhttp.Response], error) {
		return func(_ context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[*idemhttp.Response], error) {
			scope, key, ok := idemhttp.SplitKey(abandoned.Key)
			if scope != "global" || key != "k" || !ok || abandoned.Metadata["path"] != "/pay" {
				t.Errorf("%q, %q, %v, %v", scope, key, ok, abandoned.Metadata)
			}
			return d, err
		}
	}
	charged := &idemhttp.Response{Status: 201, Header: http.Header{
		"Location": {"/payments/7"}, "content-type": {"text/x"}, "Set-Cookie": {"a=b"}, "Content-Length": {"99"},
	}, Body: []byte("charged")}
	for name, test := range map[string]struct {
		options idemhttp.Options
		runs    int32
		check   func(*testing.T, answerCheck)
	}{
		"Rerun": {runs: 1, check: func(t *testing.T, a answerCheck) {
			if a.first.body != "attempt 2" || a.first.replayed() || !a.second.replayed() || a.second.body != "attempt 2" {
				t.Errorf("%q, %q", a.first.body, a.second.body)
			}
		}},
		"Fail": {options: idemhttp.Options{OnAbandoned: idempotency.Fail}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeOutcomeUnknown)
				if a.Header.Get("Retry-After") != "" {
					t.Error("a person has to decide first")
				}
			}
		}},
		"Reconcile answers": {options: idemhttp.Options{Reconcile: finds(idempotency.Answer(charged, nil), nil)}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				if a.StatusCode != 201 || a.body != "charged" || a.Header.Get("Location") != "/payments/7" || !a.replayed() ||
					a.Header.Get("Content-Type") != "text/x" || a.Header.Get("Set-Cookie") != "" {
					t.Errorf("%v %q %v", a.Status, a.body, a.Header)
				}
			}
		}},
		"Reconcile knows only that it ran": {options: idemhttp.Options{Reconcile: finds(idempotency.Answer[*idemhttp.Response](nil, nil), nil)}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeNotKept)
			}
		}},
		"Reconcile answers with an error": {options: idemhttp.Options{Reconcile: finds(idempotency.Answer[*idemhttp.Response](nil, errors.New("secret")), nil)}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeFailed)
			}
		}},
		"Reconcile runs again": {options: idemhttp.Options{Reconcile: finds(idempotency.RunAgain[*idemhttp.Response](), nil)}, runs: 1, check: func(t *testing.T, a answerCheck) {
			if a.first.body != "attempt 2" || !a.second.replayed() {
				t.Errorf("%q", a.first.body)
			}
		}},
		"Reconcile finds nothing out": {options: idemhttp.Options{Reconcile: finds(idempotency.Unknown[*idemhttp.Response](), errors.New("secret"))}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				wantProblem(t, a, http.StatusServiceUnavailable, idemhttp.CodeOutcomeUnknown)
				wantRetryAfter(t, a, 1, 60)
				if strings.Contains(a.body, "secret") {
					t.Errorf("%q", a.body)
				}
			}
		}},
		"MaxAttempts": {options: idemhttp.Options{MaxAttempts: 1}, check: func(t *testing.T, a answerCheck) {
			for _, a := range []answer{a.first, a.second} {
				wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeFailed)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			options := test.options
			options.Metadata = func(r *http.Request) map[string]string { return map[string]string{"path": r.URL.Path} }
			serve := func(x *idempotency.Executor, handler http.Handler) *httptest.Server {
				return start(t, "HTTP/1.1", newMiddleware(t, x, options)(handler))
			}
			crash(t, store, serve)
			var runs atomic.Int32
			server := serve(newExecutor(t, store, idempotency.Options{}), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				runs.Add(1)
				if e, ok := idempotency.ExecutionOf(r.Context()); ok && e.Attempt == 2 && e.Fence > 0 && e.Operation == "http" {
					io.WriteString(w, "attempt 2")
				}
			}))
			var a answerCheck
			a.first = send(t, server.Client(), request(t, server.URL+"/pay", "k", "12"))
			a.second = send(t, server.Client(), request(t, server.URL+"/pay", "k", "12"))
			test.check(t, a)
			if runs.Load() != test.runs {
				t.Errorf("ran %d times, want %d", runs.Load(), test.runs)
			}
			wantProblem(t, send(t, server.Client(), request(t, server.URL+"/pay", "k", "13")), http.StatusUnprocessableEntity, idemhttp.CodeKeyReused)
		})
	}
}

type answerCheck struct{ first, second answer }

// A person resolves an abandoned key by an operation of the middleware's name.
func TestResolve(t *testing.T) {
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{})
	serve := func(x *idempotency.Executor, handler http.Handler) *httptest.Server {
		return start(t, "HTTP/1.1", newMiddleware(t, x, idemhttp.Options{Name: "pay", OnAbandoned: idempotency.Fail})(handler))
	}
	crash(t, store, serve)
	operation, err := idempotency.NewOperation(x, idempotency.OperationOptions[*idemhttp.Response]{Name: "pay", Codec: idemhttp.Codec})
	if err != nil {
		t.Fatal(err)
	}
	if err := operation.Resolve(t.Context(), idemhttp.Key("global", "k"), &idemhttp.Response{Status: 200, Body: []byte("resolved")}, nil); err != nil {
		t.Fatal(err)
	}
	server := serve(x, mustNotRun(t))
	if a := send(t, server.Client(), request(t, server.URL+"/pay", "k", "12")); a.body != "resolved" || !a.replayed() {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// A holder that is overtaken while its handler runs: its client gets the response
// of the attempt that took over, or is cut off where a part of its own is out.
func TestOvertaken(t *testing.T) {
	for _, flushes := range []bool{false, true} {
		store := newStore(t)
		lease := 50 * time.Millisecond
		first := newExecutor(t, deaf{store}, idempotency.Options{Lease: lease})
		second := newExecutor(t, store, idempotency.Options{Lease: time.Minute})
		var runs atomic.Int32
		inside, goOn := make(chan struct{}), make(chan struct{})
		serve := func(x *idempotency.Executor) *httptest.Server {
			return start(t, "HTTP/1.1", newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/attempt")
				if runs.Add(1) == 1 {
					w.Header().Set("X-Zombie", "1")
					w.WriteHeader(http.StatusEarlyHints)
					io.WriteString(w, "zombie")
					if flushes {
						w.(http.Flusher).Flush()
					}
					close(inside)
					<-r.Context().Done()
					if cause := context.Cause(r.Context()); !errors.Is(cause, idempotency.ErrLeaseLost) {
						t.Errorf("the ctx ended by %v", cause)
					}
					<-goOn
					return
				}
				io.WriteString(w, "winner")
			})))
		}
		type result struct {
			answer
			err error
		}
		zombie := make(chan result, 1)
		server := serve(first)
		go func() {
			response, err := server.Client().Do(request(t, server.URL, "k", ""))
			if err != nil {
				zombie <- result{err: err}
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			zombie <- result{answer{response, string(body), err}, err}
		}()
		<-inside
		other := serve(second)
		if a := post(t, other, "k", ""); a.body != "winner" || a.replayed() {
			t.Errorf("%v %q", a.Status, a.body)
		}
		close(goOn)
		got := <-zombie
		if flushes && got.err == nil {
			t.Errorf("the overtaken response ended well: %q", got.body)
		}
		if !flushes && (got.err != nil || got.body != "winner" || !got.replayed() || got.Header.Get("X-Zombie") != "") {
			t.Errorf("%q, %v", got.body, got.err)
		}
		if runs.Load() != 2 {
			t.Errorf("ran %d times", runs.Load())
		}
	}
}

// deaf is a store whose renewals never get through.
type deaf struct{ backend.Backend }

func (d deaf) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if request.Renewal {
		return backend.Record{}, backend.ErrNotApplied
	}
	return d.Backend.Claim(ctx, key, request)
}

// A commit that fails costs the client nothing but time: its response arrives.
func TestCommitFails(t *testing.T) {
	x := newExecutor(t, mute{newStore(t)}, idempotency.Options{CommitTimeout: 20 * time.Millisecond})
	server := start(t, "HTTP/1.1", newMiddleware(t, x, idemhttp.Options{})(write("done")))
	if a := post(t, server, "k", ""); a.body != "done" || a.replayed() {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// mute is a store that takes no outcomes.
type mute struct{ backend.Backend }

func (mute) Commit(context.Context, string, backend.CommitRequest) error { return errors.New("lost") }
