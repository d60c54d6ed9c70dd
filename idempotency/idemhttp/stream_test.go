package idemhttp_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// What is flushed reaches the executing client while the handler runs; a replay
// has the whole.
func TestFlushPassesThrough(t *testing.T) {
	goOn := make(chan struct{})
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "first,")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "second,")
		w.(http.Flusher).Flush()
		io.WriteString(w, "third")
	})
	response, err := server.Client().Do(request(t, server.URL, "k", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	part := make([]byte, len("first,"))
	if _, err := io.ReadFull(response.Body, part); err != nil || string(part) != "first," {
		t.Errorf("%q, %v", part, err)
	}
	close(goOn)
	rest, err := io.ReadAll(response.Body)
	if string(rest) != "second,third" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	a := post(t, server, "k", "")
	if a.StatusCode != http.StatusCreated || a.body != "first,second,third" || !a.replayed() || a.ContentLength != int64(len(a.body)) {
		t.Errorf("%v %q, length %d", a.Status, a.body, a.ContentLength)
	}
}

// A response at the bound is kept, one above goes whole to its caller and to
// nobody else, and never runs again.
func TestTooLargeToBeKept(t *testing.T) {
	for name, handler := range map[string]func(w http.ResponseWriter, body string){
		"one write":   func(w http.ResponseWriter, body string) { io.WriteString(w, body) },
		"many writes": func(w http.ResponseWriter, body string) { each(body, func(s string) { io.WriteString(w, s) }) },
		"ReadFrom":    func(w http.ResponseWriter, body string) { io.Copy(w, strings.NewReader(body)) },
		"ReadFrom at the end": func(w http.ResponseWriter, body string) {
			io.WriteString(w, body[:1500])
			io.Copy(w, struct{ io.Reader }{strings.NewReader(body[1500:])})
		},
		"flushed": func(w http.ResponseWriter, body string) {
			each(body, func(s string) { io.WriteString(w, s); w.(http.Flusher).Flush() })
		},
		"declared": func(w http.ResponseWriter, body string) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			each(body, func(s string) { w.Write([]byte(s)) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int32
			size := 0
			server := serve(t, idemhttp.Options{MaxResponse: 2000}, func(w http.ResponseWriter, _ *http.Request) {
				runs.Add(1)
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(http.StatusCreated)
				handler(w, strings.Repeat("x", size))
			})
			size = 2000
			for i := range 2 {
				if a := post(t, server, "fits", ""); len(a.body) != size || a.replayed() != (i == 1) {
					t.Errorf("%d bytes, replayed %v", len(a.body), a.replayed())
				}
			}
			size = 2001
			if a := post(t, server, "large", ""); len(a.body) != size || a.err != nil || a.StatusCode != http.StatusCreated {
				t.Errorf("%v: %d bytes, %v", a.Status, len(a.body), a.err)
			}
			for range 2 {
				a := post(t, server, "large", "")
				if body := wantProblem(t, a, http.StatusInternalServerError, idemhttp.CodeNotKept); body["original_status"] != float64(http.StatusCreated) {
					t.Errorf("%v", body)
				}
				if a.Header.Get("Retry-After") != "" {
					t.Error("there is no use in a retry")
				}
			}
			if runs.Load() != 2 {
				t.Errorf("ran %d times", runs.Load())
			}
		})
	}
}

func each(body string, write func(string)) {
	for len(body) > 0 {
		n := min(len(body), 100)
		write(body[:n])
		body = body[n:]
	}
}

// The executor's own limit, which counts the header too, has the same effect.
func TestTooLargeForTheExecutor(t *testing.T) {
	var runs atomic.Int32
	x := newExecutor(t, newStore(t), idempotency.Options{MaxPayload: 1000})
	server := httptest.NewServer(newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		w.Header().Set("Location", strings.Repeat("l", 900))
		io.WriteString(w, strings.Repeat("x", 900))
	})))
	defer server.Close()
	if a := post(t, server, "k", ""); len(a.body) != 900 {
		t.Errorf("%v: %d bytes", a.Status, len(a.body))
	}
	wantProblem(t, post(t, server, "k", ""), http.StatusInternalServerError, idemhttp.CodeNotKept)
	info, err := x.Lookup(t.Context(), idemhttp.Key("global", "k"))
	if err != nil || info.Outcome != "not kept" {
		t.Errorf("%+v, %v", info, err)
	}
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

func TestHijack(t *testing.T) {
	var runs atomic.Int32
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(w, "x"); err != http.ErrHijacked {
			t.Errorf("Write: %v", err)
		}
		if err := http.NewResponseController(w).Flush(); err != http.ErrHijacked {
			t.Errorf("Flush: %v", err)
		}
		if _, _, err := http.NewResponseController(w).Hijack(); err != http.ErrHijacked {
			t.Errorf("Hijack: %v", err)
		}
		w.WriteHeader(http.StatusOK)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken")
	})
	if a := post(t, server, "k", ""); a.body != "taken" {
		t.Errorf("%v %q", a.Status, a.body)
	}
	wantProblem(t, post(t, server, "k", ""), http.StatusInternalServerError, idemhttp.CodeNotKept)
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

// What the handler has written goes out before the connection changes hands.
func TestHijackAfterWrite(t *testing.T) {
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "first")
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		buffer.WriteString("after")
		buffer.Flush()
	})
	if a := post(t, server, "k", ""); a.body != "firstafter" {
		t.Errorf("%v %q %v", a.Status, a.body, a.err)
	}
}

// A failed Hijack changes nothing.
func TestHijackOverHTTP2(t *testing.T) {
	protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})
	server := start(t, "HTTP/2.0", protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, is := w.(http.Hijacker); is {
			t.Error("a Hijacker over HTTP/2")
		}
		if _, is := w.(http.Pusher); !is {
			t.Error("no Pusher over HTTP/2")
		}
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("%v", err)
		}
		io.WriteString(w, "answered")
	})))
	for i := range 2 {
		if a := post(t, server, "k", ""); a.body != "answered" || a.replayed() != (i == 1) {
			t.Errorf("%v %q", a.Status, a.body)
		}
	}
}

type bareWriter struct{ http.ResponseWriter }

type withFlush struct {
	bareWriter
	flushed *int
}

func (w withFlush) Flush() { *w.flushed++ }

type withHijack struct{ bareWriter }

func (withHijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, errors.New("not today")
}

type withPush struct{ bareWriter }

func (withPush) Push(target string, _ *http.PushOptions) error { return errors.New("pushed " + target) }

// The handler sees the interfaces that the server's writer has, and no others.
func TestOptionalInterfaces(t *testing.T) {
	flushed := 0
	for i := range 8 {
		bare := bareWriter{httptest.NewRecorder()}
		f, h, p := withFlush{bare, &flushed}, withHijack{bare}, withPush{bare}
		w := []http.ResponseWriter{
			bare, f, h, struct {
				bareWriter
				http.Flusher
				http.Hijacker
			}{bare, f, h}, p, struct {
				bareWriter
				http.Flusher
				http.Pusher
			}{bare, f, p}, struct {
				bareWriter
				http.Hijacker
				http.Pusher
			}{bare, h, p}, struct {
				bareWriter
				http.Flusher
				http.Hijacker
				http.Pusher
			}{bare, f, h, p},
		}[i]
		protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{})
		r := httptest.NewRequest("POST", "/", nil)
		r.Header.Set("Idempotency-Key", "k")
		flushed = 0
		protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			flusher, flushes := w.(http.Flusher)
			hijacker, hijacks := w.(http.Hijacker)
			pusher, pushes := w.(http.Pusher)
			if flushes != (i&1 != 0) || hijacks != (i&2 != 0) || pushes != (i&4 != 0) {
				t.Errorf("%03b: flushes %v, hijacks %v, pushes %v", i, flushes, hijacks, pushes)
			}
			if hijacks {
				if _, _, err := hijacker.Hijack(); err == nil || err.Error() != "not today" {
					t.Errorf("Hijack: %v", err)
				}
			}
			if pushes {
				if err := pusher.Push("/a", nil); err == nil || err.Error() != "pushed /a" {
					t.Errorf("Push: %v", err)
				}
			}
			if err := http.NewResponseController(w).Flush(); flushes != (err == nil) || !flushes && !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%03b: Flush: %v", i, err)
			}
			if flushes {
				flusher.Flush()
			}
			if _, is := w.(io.ReaderFrom); !is {
				t.Error("no io.ReaderFrom")
			}
			if _, is := w.(io.StringWriter); !is {
				t.Error("no io.StringWriter")
			}
		})).ServeHTTP(w, r)
		if want := i & 1 * 2; flushed != want {
			t.Errorf("%03b: %d flushes, want %d", i, flushed, want)
		}
	}
}

// What a middleware outside sets is its own, on each response anew; what only the
// handler's client may have is never replayed.
func TestHeadersOfOthers(t *testing.T) {
	var requests atomic.Int32
	protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{ResponseHeaders: []string{"X-*", "location"}})
	inner := protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if w.Header().Get("X-Request-Id") != "1" {
			t.Error("the handler doesn't see the header from outside")
		}
		w.Header().Del("X-Removed")
		w.Header().Add("X-List", "handler")
		w.Header().Set("Location", "/1")
		w.Header().Set("Etag", "not allowed")
		w.Header().Set("Connection", "close, X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Authorization", "secret")
		w.Header().Set("Proxy-Authenticate", "secret")
		w.Header().Set("Idempotency-Replayed", "forged")
		w.Header().Set("Trailer", "X-Trailer, Set-Cookie")
		io.WriteString(w, "<html>")
		w.Header().Set("X-Trailer", "t")
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", fmt.Sprint(requests.Add(1)))
		w.Header().Set("X-Removed", "1")
		w.Header().Set("X-List", "outside")
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	a := post(t, server, "k", "")
	if a.Header.Get("Set-Cookie") != "a=b" || a.Header.Get("Etag") != "not allowed" || a.Header.Get("X-Removed") != "" || a.Header.Get("X-Hop") != "1" {
		t.Errorf("executing: %v", a.Header)
	}
	a = post(t, server, "k", "")
	if a.Trailer.Get("X-Trailer") != "t" {
		t.Errorf("trailer %v", a.Trailer)
	}
	for name, want := range map[string]string{
		"X-Request-Id": "2", "X-Removed": "1", "X-List": "outside", "Location": "/1", "Idempotency-Replayed": "true",
		"Content-Type": "text/html; charset=utf-8",
		"Etag":         "", "X-Hop": "", "Set-Cookie": "", "Authorization": "", "Proxy-Authenticate": "", "Connection": "",
	} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("replayed: %s is %q, want %q", name, got, want)
		}
	}
	if got := a.Header["X-List"]; len(got) != 2 || got[1] != "handler" {
		t.Errorf("X-List: %q", got)
	}
	if a.Header.Get("Date") == "Thu, 01 Jan 1970 00:00:00 GMT" {
		t.Error("the date was replayed")
	}
}

// invalid codes panic as net/http's do.
func TestInvalidStatus(t *testing.T) {
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		defer func() {
			if v := recover(); v != "invalid WriteHeader code 99" {
				t.Errorf("panic %v", v)
			}
		}()
		w.WriteHeader(99)
	})
	post(t, server, "k", "")
}
