package idemhttp_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(tb testing.TB) *memory.Backend {
	tb.Helper()
	store := memory.New()
	tb.Cleanup(func() { store.Close() })
	return store
}

func newExecutor(tb testing.TB, store backend.Backend, options idempotency.Options) *idempotency.Executor {
	tb.Helper()
	x, err := idempotency.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

func newMiddleware(tb testing.TB, x *idempotency.Executor, options idemhttp.Options) func(http.Handler) http.Handler {
	tb.Helper()
	if options.Scope == nil {
		options.Scope = idemhttp.Global
	}
	protect, err := idemhttp.New(x, options)
	if err != nil {
		tb.Fatal(err)
	}
	return protect
}

// serve starts a server on a real socket, with a handler behind a middleware on a
// store of its own.
func serve(tb testing.TB, options idemhttp.Options, handler http.HandlerFunc) *httptest.Server {
	tb.Helper()
	protect := newMiddleware(tb, newExecutor(tb, newStore(tb), idempotency.Options{}), options)
	server := httptest.NewServer(protect(handler))
	tb.Cleanup(server.Close)
	return server
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body string
	err  error // of reading the body
}

func (a answer) replayed() bool { return a.Header.Get("Idempotency-Replayed") == "true" }

func send(tb testing.TB, client *http.Client, request *http.Request) answer {
	tb.Helper()
	response, err := client.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, string(body), err}
}

// request makes a POST with a key and pairs of header names and values.
func request(tb testing.TB, url, key, body string, header ...string) *http.Request {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func post(tb testing.TB, server *httptest.Server, key, body string, header ...string) answer {
	tb.Helper()
	return send(tb, server.Client(), request(tb, server.URL, key, body, header...))
}

func TestExecutesOnce(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/payments/1")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "paid "+string(body))
	})
	for i := range 3 {
		a := post(t, server, "k", "12 EUR")
		if a.StatusCode != http.StatusCreated || a.body != "paid 12 EUR" || a.Header.Get("Location") != "/payments/1" {
			t.Errorf("request %d: %v %q %v", i, a.Status, a.body, a.Header)
		}
		if a.replayed() != (i > 0) {
			t.Errorf("request %d: replayed is %v", i, a.replayed())
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("ran %d times", n)
	}
}

var (
	quiet   = log.New(io.Discard, "", 0)
	farAway = time.Now().Add(time.Hour)
)
