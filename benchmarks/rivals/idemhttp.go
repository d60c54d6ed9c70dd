package rivals

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Middleware is a way to have a request handled once for a key in a header.
type Middleware struct {
	Name   string
	Header string
	// Serve starts a server whose handler answers a POST with 201 and what work
	// returns, and which the test stops: behind the middleware, on a Redis at addr,
	// or bare where addr is empty.
	Serve func(tb testing.TB, addr string, dial clients.Dial, work func() []byte) (url string)
}

// Middlewares are those that are measured.
var Middlewares = []Middleware{RepriseHTTP, Fiber}

// RepriseHTTP is ours on net/http, with the client that fiber's storage uses. It
// does more: it reads the body for its fingerprint, and waits across processes.
var RepriseHTTP = Middleware{
	Name: "reprise-idemhttp", Header: "Idempotency-Key",
	Serve: func(tb testing.TB, addr string, dial clients.Dial, work func() []byte) (url string) {
		tb.Helper()
		var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			body := work()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(body)
		})
		if addr != "" {
			x := newExecutor(tb, openStore(tb, "goredis", addr, dial), idempotency.Options{Retention: keptFor})
			protect, err := idemhttp.New(x, idemhttp.Options{Scope: idemhttp.Global})
			if err != nil {
				tb.Fatal(err)
			}
			handler = protect(handler)
		}
		mux := http.NewServeMux()
		mux.Handle("POST /payments", handler)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		server, ended := &http.Server{Handler: mux}, make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		tb.Cleanup(func() {
			_ = server.Close()
			if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
				tb.Error(err)
			}
		})
		return "http://" + listener.Addr().String() + "/payments"
	},
}
