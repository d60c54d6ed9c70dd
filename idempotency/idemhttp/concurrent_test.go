package idemhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// Hundreds of the same request on two servers, over both protocols: one
// execution, and one response for all.
func TestConcurrentDuplicates(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			store := newStore(t)
			const requests, keys = 400, 4
			var runs, arrived atomic.Int32
			all := make(chan struct{})
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-all // the others have come meanwhile
				w.Header().Set("Location", fmt.Sprint("/payments/", runs.Add(1)))
				w.WriteHeader(http.StatusCreated)
				io.Copy(w, r.Body)
			})
			var servers []*httptest.Server
			for range 2 {
				protected := newMiddleware(t, newExecutor(t, store, idempotency.Options{}), idemhttp.Options{})(handler)
				server := start(t, protocol, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodGet {
						return
					}
					if arrived.Add(1) == requests {
						close(all)
					}
					protected.ServeHTTP(w, r)
				}))
				// One connection for all streams, rather than a handshake for each.
				greeting := request(t, server.URL, "", "")
				greeting.Method = http.MethodGet
				send(t, server.Client(), greeting)
				servers = append(servers, server)
			}
			answers := make([]answer, requests)
			var wg sync.WaitGroup
			for i := range requests {
				wg.Go(func() {
					key := fmt.Sprint("k", i%keys)
					answers[i] = post(t, servers[i/keys%2], key, "of "+key)
				})
			}
			wg.Wait()
			executed := 0
			locations := map[string]string{}
			for i, a := range answers {
				key := fmt.Sprint("k", i%keys)
				if a.StatusCode != http.StatusCreated || a.body != "of "+key {
					t.Errorf("%d: %v %q", i, a.Status, a.body)
				}
				if !a.replayed() {
					executed++
				}
				location := a.Header.Get("Location")
				if known, seen := locations[key]; seen && known != location {
					t.Errorf("%s: two responses, %s and %s", key, known, location)
				}
				locations[key] = location
			}
			if runs.Load() != keys || executed != keys {
				t.Errorf("ran %d times, %d responses aren't replays", runs.Load(), executed)
			}
		})
	}
}

// Through a reverse proxy in front, and with one as the handler.
func TestReverseProxy(t *testing.T) {
	var runs atomic.Int32
	backend := func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
		w.(http.Flusher).Flush()
		io.WriteString(w, "!")
		w.Header().Set("X-Sum", "7")
	}
	proxyTo := func(to *httptest.Server) *httputil.ReverseProxy {
		target, err := url.Parse(to.URL)
		if err != nil {
			t.Fatal(err)
		}
		return &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: to.Client().Transport, ErrorLog: quiet,
		}
	}
	x := newExecutor(t, newStore(t), idempotency.Options{})
	protect := newMiddleware(t, x, idemhttp.Options{})
	for name, server := range map[string]*httptest.Server{
		"in front": start(t, "HTTP/1.1", proxyTo(start(t, "HTTP/1.1", protect(http.HandlerFunc(backend))))),
		"behind":   start(t, "HTTP/1.1", protect(proxyTo(start(t, "HTTP/1.1", http.HandlerFunc(backend))))),
	} {
		runs.Store(0)
		for i := range 2 {
			a := post(t, server, name, "body of the request")
			if a.StatusCode != http.StatusCreated || a.body != "body of the request!" || a.Trailer.Get("X-Sum") != "7" || a.replayed() != (i == 1) {
				t.Errorf("%s: %v %q %v, replayed %v", name, a.Status, a.body, a.Trailer, a.replayed())
			}
		}
		if runs.Load() != 1 {
			t.Errorf("%s: ran %d times", name, runs.Load())
		}
	}
}

// A backend that breaks off in its response isn't recorded: the reverse proxy
// panics with http.ErrAbortHandler.
func TestReverseProxyBreaksOff(t *testing.T) {
	var runs atomic.Int32
	to := start(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		if runs.Add(1) == 1 {
			io.WriteString(w, "ha")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "whole")
	}))
	target, _ := url.Parse(to.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = quiet
	server := start(t, "HTTP/1.1", newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})(proxy))
	response, err := server.Client().Do(request(t, server.URL, "k", ""))
	if err == nil {
		_, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err == nil {
		t.Error("half a response looks whole")
	}
	for i := range 2 {
		if a := post(t, server, "k", ""); a.body != "whole" || a.err != nil || a.replayed() != (i == 1) {
			t.Errorf("%v %q %v", a.Status, a.body, a.err)
		}
	}
}

// Inside another middleware on the same executor a request is protected already;
// on another executor both keep a record.
func TestNested(t *testing.T) {
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{})
	other := newExecutor(t, store, idempotency.Options{Namespace: "inner"})
	for name, inner := range map[string]*idempotency.Executor{"same": x, "another": other} {
		var runs atomic.Int32
		handler := newMiddleware(t, x, idemhttp.Options{})(newMiddleware(t, inner, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			runs.Add(1)
			io.Copy(w, r.Body)
		})))
		server := start(t, "HTTP/1.1", handler)
		for i := range 2 {
			if a := post(t, server, name, "body"); a.body != "body" || a.replayed() != (i == 1) {
				t.Errorf("%s: %v %q", name, a.Status, a.body)
			}
		}
		if runs.Load() != 1 {
			t.Errorf("%s: ran %d times", name, runs.Load())
		}
	}
}

// Around a mux and below one; whoever is outside sees the pattern.
func TestMux(t *testing.T) {
	protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.Pattern+" "+r.PathValue("id"))
	}
	below := http.NewServeMux()
	below.Handle("POST /orders/{id}", protect(http.HandlerFunc(handler)))
	around := http.NewServeMux()
	around.HandleFunc("POST /orders/{id}", handler)
	for name, protected := range map[string]http.Handler{"below": below, "around": protect(around)} {
		server := start(t, "HTTP/1.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			protected.ServeHTTP(w, r)
			if r.Pattern != "POST /orders/{id}" && r.Header.Get("X-Replay") == "" {
				t.Errorf("%s: outside the pattern is %q", name, r.Pattern)
			}
		}))
		for i := range 2 {
			r := request(t, server.URL+"/orders/7", name, "")
			if i == 1 {
				r.Header.Set("X-Replay", "1")
			}
			if a := send(t, server.Client(), r); strings.TrimSpace(a.body) != "POST /orders/{id} 7" || a.replayed() != (i == 1) {
				t.Errorf("%s: %v %q", name, a.Status, a.body)
			}
		}
	}
}
