package idemhttp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// What a handler does must look the same behind the middleware as without it, to
// the client that executes and to the one that gets the replay.
var alike = []struct {
	name    string
	handler http.HandlerFunc
	method  string
	// replayLoses lists headers that aren't recorded.
	replayLoses []string
	// brokenBody: the client can't read the body to its end, and nothing is replayed.
	brokenBody bool
	// onlyHTTP1: net/http's HTTP/2 does something else.
	onlyHTTP1 bool
}{
	{name: "nothing at all", handler: func(http.ResponseWriter, *http.Request) {}},
	{name: "implicit 200", handler: write("hello")},
	{name: "status only", handler: status(http.StatusAccepted)},
	{name: "204", handler: status(http.StatusNoContent)},
	{name: "304 with a length", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
	}},
	{name: "205", handler: status(http.StatusResetContent)},
	{name: "404", handler: http.NotFound},
	{name: "303", handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/there", http.StatusSeeOther) }},
	{name: "unknown status", handler: status(299)},
	{name: "body of a 204", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if n, err := io.WriteString(w, "no"); n != 0 || err != http.ErrBodyNotAllowed {
			panic(fmt.Sprint(n, err))
		}
	}},
	{name: "second WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "created")
	}},
	{name: "WriteHeader after Write", handler: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "ok")
		w.WriteHeader(http.StatusInternalServerError)
	}},
	{name: "header after WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/before")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("Location", "/after")
		w.Header().Set("Etag", "late")
	}},
	{name: "guessed html", handler: write("<html><body>hi")},
	{name: "guessed from two writes", handler: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<ht")
		io.WriteString(w, "ml><body>hi")
	}},
	{name: "guessed binary", handler: write("\x89PNG\r\n\x1a\n\x00\x00")},
	{name: "guessing switched off", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}},
	{name: "nothing guessed of what is encoded", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "<html>")
	}},
	{name: "explicit type", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":1}`)
	}},
	{name: "declared length", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
	}},
	{name: "more than declared", onlyHTTP1: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "hello")
		if n, err := io.WriteString(w, "!"); n != 0 || err != http.ErrContentLength {
			panic(fmt.Sprint(n, err))
		}
	}},
	{name: "less than declared", brokenBody: true, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "50")
		io.WriteString(w, "hello")
	}},
	{name: "broken declared length", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "five")
		io.WriteString(w, "hello")
	}},
	{name: "large body", handler: write(strings.Repeat("0123456789", 10000))},
	{name: "ReadFrom", handler: func(w http.ResponseWriter, _ *http.Request) {
		if n, err := io.Copy(w, strings.NewReader("copied")); n != 6 || err != nil {
			panic(fmt.Sprint(n, err))
		}
	}},
	{name: "Flush before anything", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
	}},
	{name: "Flush between", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/1")
		io.WriteString(w, "<html>")
		w.(http.Flusher).Flush()
		io.WriteString(w, "more")
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		io.Copy(w, strings.NewReader("and more"))
	}},
	{name: "declared trailers", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Count")
		w.Header().Add("Trailer", "X-Unset")
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "1")
		w.Header()["X-Count"] = []string{"2", "3"}
	}},
	{name: "declared trailers without a flush", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "1")
	}},
	{name: "trailers by prefix", handler: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "body")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}},
	{name: "headers of the handler's own", replayLoses: []string{"Set-Cookie", "X-Mine", "Keep-Alive"}, handler: func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "secret"})
		w.Header().Set("X-Mine", "1")
		w.Header().Set("Vary", "Accept")
		w.Header().Add("Vary", "Origin")
		w.Header().Add("Link", "</a>; rel=next")
		w.WriteHeader(http.StatusCreated)
	}},
	{name: "HEAD", method: http.MethodHead, handler: write("<html>never sent")},
	{name: "HEAD with a length", method: http.MethodHead, handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4711")
	}},
	{name: "HEAD without a body", method: http.MethodHead, handler: status(http.StatusOK)},
	{name: "http.Error", handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "teapot", http.StatusTeapot) }},
	{name: "the body again", handler: func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %d %v %q %v", r.Method, r.URL, r.ContentLength, r.TransferEncoding, body, err)
		n, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, n, err, r.Body.Close())
	}},
	{name: "ServeContent", handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "a.txt", time.Time{}, bytes.NewReader([]byte("content")))
	}},
	{name: "controller", handler: func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		for _, err := range []error{c.SetReadDeadline(farAway), c.SetWriteDeadline(farAway)} {
			if err != nil {
				panic(err)
			}
		}
		if err := c.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			panic(err)
		}
		io.WriteString(w, "controlled")
	}},
}

func write(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func TestLikeTheBareHandler(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, test := range alike {
			if test.onlyHTTP1 && protocol != "HTTP/1.1" {
				continue
			}
			t.Run(protocol+"/"+test.name, func(t *testing.T) {
				protect := newMiddleware(t, newExecutor(t, newStore(t), idempotency.Options{}), idemhttp.Options{
					Methods: []string{http.MethodPost, http.MethodHead},
				})
				bare := start(t, protocol, test.handler)
				protected := start(t, protocol, protect(test.handler))
				want := sendAlike(t, bare, test.method, protocol)
				executed := sendAlike(t, protected, test.method, protocol)
				compare(t, "executing", executed, want, nil)
				again := sendAlike(t, protected, test.method, protocol)
				if test.brokenBody {
					if want.err == nil || again.StatusCode != http.StatusInternalServerError || !strings.Contains(again.body, "response_not_kept") {
						t.Errorf("%v; the retry got %v %q", want.err, again.Status, again.body)
					}
					return
				}
				if !again.replayed() {
					t.Error("the second response isn't a replay")
				}
				again.Header.Del("Idempotency-Replayed")
				compare(t, "replayed", again, want, test.replayLoses)
			})
		}
	}
}

func start(t *testing.T, protocol string, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = protocol == "HTTP/2.0"
	server.Config.ErrorLog = quiet
	if server.EnableHTTP2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func sendAlike(t *testing.T, server *httptest.Server, method, protocol string) answer {
	t.Helper()
	r := request(t, server.URL+"/path?q=1", "k", "request body")
	if method != "" {
		r.Method, r.Body, r.ContentLength = method, nil, 0
	}
	client := *server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a := send(t, &client, r)
	if a.Proto != protocol {
		t.Fatalf("spoke %s", a.Proto)
	}
	return a
}

// compare leaves out what the middleware says on purpose: the length of a body
// that net/http would have sent in chunks.
func compare(t *testing.T, who string, got, want answer, loses []string) {
	t.Helper()
	if got.StatusCode != want.StatusCode || got.body != want.body || (got.err == nil) != (want.err == nil) {
		t.Errorf("%s: %v %q %v, want %v %q %v", who, got.Status, got.body, got.err, want.Status, want.body, want.err)
	}
	if want.ContentLength >= 0 && got.ContentLength != want.ContentLength {
		t.Errorf("%s: Content-Length %d, want %d", who, got.ContentLength, want.ContentLength)
	}
	header := want.Header.Clone()
	for _, name := range loses {
		header.Del(name)
	}
	for _, h := range []http.Header{header, got.Header} {
		h.Del("Date")
		h.Del("Content-Length")
	}
	if !maps.EqualFunc(got.Header, header, slices.Equal) {
		t.Errorf("%s: header %v, want %v", who, got.Header, header)
	}
	clean := func(h http.Header) http.Header {
		h = h.Clone()
		maps.DeleteFunc(h, func(_ string, v []string) bool { return len(v) == 0 })
		return h
	}
	if g, w := clean(got.Trailer), clean(want.Trailer); !maps.EqualFunc(g, w, slices.Equal) {
		t.Errorf("%s: trailer %v, want %v", who, g, w)
	}
}

// Early hints go to the client that executes, at once, and aren't replayed.
func TestInformational(t *testing.T) {
	hinted := make(chan struct{})
	server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		select {
		case <-hinted: // the client has it before the handler goes on
		case <-time.After(20 * time.Second):
			t.Error("the client has no hint")
		}
		w.Header().Set("Link", "</other>")
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusEarlyHints) // too late
		io.WriteString(w, "done")
	})
	hints := 0
	for i := range 2 {
		r := request(t, server.URL, "k", "")
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints++
				if code != http.StatusEarlyHints || header.Get("Link") != "</style.css>; rel=preload" {
					t.Errorf("got %d %v", code, header)
				}
				close(hinted)
				return nil
			},
		}))
		a := send(t, server.Client(), r)
		if a.StatusCode != http.StatusCreated || a.body != "done" || a.Header.Get("Link") != "</other>" {
			t.Errorf("request %d: %v %q %v", i, a.Status, a.body, a.Header)
		}
	}
	if hints != 1 {
		t.Errorf("%d hints", hints)
	}
}
