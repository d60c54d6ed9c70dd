package idemhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// until waits until something holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// dial connects to a server and says something.
func dial(t *testing.T, server *httptest.Server, say string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, say); err != nil {
		t.Fatal(err)
	}
	return conn
}

const rawPost = "POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: \"k\"\r\nContent-Length: 5\r\n\r\nhello"

// A client may leave at any moment of its request. Where the handler has begun it
// finishes, and whoever comes next gets its whole response.
func TestClientLeavesWhileTheHandlerRuns(t *testing.T) {
	for name, handler := range map[string]func(w http.ResponseWriter, left <-chan struct{}){
		"before it writes": func(w http.ResponseWriter, left <-chan struct{}) {
			<-left
			io.WriteString(w, "onetwothree")
		},
		"while it writes": func(w http.ResponseWriter, left <-chan struct{}) {
			io.WriteString(w, "one")
			<-left
			io.WriteString(w, "twothree")
		},
		"after a flush": func(w http.ResponseWriter, left <-chan struct{}) {
			io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			<-left
			for _, part := range []string{"two", "th", "ree"} {
				if n, err := io.WriteString(w, part); n != len(part) || err != nil {
					panic(fmt.Sprint(n, err)) // a handler that stops here would leave a part of a response
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int32
			inside, left, returned := make(chan struct{}), make(chan struct{}), make(chan struct{})
			server := serve(t, idemhttp.Options{}, func(w http.ResponseWriter, r *http.Request) {
				runs.Add(1)
				defer close(returned)
				close(inside)
				handler(w, left)
				if r.Context().Err() != nil {
					t.Errorf("the ctx has ended: %v", context.Cause(r.Context()))
				}
			})
			conn := dial(t, server, rawPost)
			<-inside
			conn.(*net.TCPConn).SetLinger(0) // a reset, so that later writes fail
			conn.Close()
			close(left)
			<-returned
			a := post(t, server, "k", "hello")
			if a.body != "onetwothree" || !a.replayed() || runs.Load() != 1 {
				t.Errorf("%v %q, replayed %v, ran %d times", a.Status, a.body, a.replayed(), runs.Load())
			}
		})
	}
}

// A request that doesn't arrive whole doesn't run and doesn't hold its key.
func TestClientLeavesWhileItUploads(t *testing.T) {
	refused := make(chan *idemhttp.Problem, 1)
	server := serve(t, idemhttp.Options{Problem: func(w http.ResponseWriter, r *http.Request, p *idemhttp.Problem) {
		refused <- p
		idemhttp.WriteProblem(w, r, p)
	}}, write("ran"))
	for _, say := range []string{
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: 5\r\n\r\nhel",
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	} {
		conn := dial(t, server, say)
		conn.(*net.TCPConn).CloseWrite()
		if p := <-refused; p.Code != idemhttp.CodeBodyUnreadable || p.Status != http.StatusBadRequest {
			t.Errorf("%q: %v", say, p)
		}
		conn.Close()
	}
	if a := post(t, server, "k", "hello"); a.body != "ran" || a.replayed() {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// A client that leaves while it waits for another changes nothing for that one.
func TestClientLeavesWhileItWaits(t *testing.T) {
	store := newStore(t)
	var runs, waiting atomic.Int32
	inside, goOn := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		runs.Add(1)
		close(inside)
		<-goOn
		io.WriteString(w, "done")
	})
	for i, x := range []*idempotency.Executor{
		newExecutor(t, store, idempotency.Options{}), newExecutor(t, store, idempotency.Options{}),
	} {
		protected := newMiddleware(t, x, idemhttp.Options{})(handler)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			waiting.Add(1)
			defer waiting.Add(-1)
			protected.ServeHTTP(w, r)
		}))
		defer server.Close()
		if i == 0 {
			dial(t, server, rawPost)
			<-inside
		}
		conn := dial(t, server, rawPost)
		until(t, "the second request waits", func() bool { return waiting.Load() == 2 })
		conn.Close()
		until(t, "it left", func() bool { return waiting.Load() == 1 })
		if i == 1 {
			close(goOn)
			if a := post(t, server, "k", "hello"); a.body != "done" || !a.replayed() {
				t.Errorf("%v %q", a.Status, a.body)
			}
		}
	}
	if runs.Load() != 1 {
		t.Errorf("ran %d times", runs.Load())
	}
}

// Over HTTP/2 the connection may be gone while the handler runs: Drain knows.
func TestDrainWaitsForHandlers(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	inside, goOn := make(chan struct{}), make(chan struct{})
	server := start(t, "HTTP/2.0", newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-goOn
		io.WriteString(w, "done")
	})))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-inside
		cancel()
	}()
	if _, err := server.Client().Do(request(t, server.URL, "k", "").WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := x.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: %v while the handler runs", err)
	}
	close(goOn)
	if err := x.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if info, err := x.Lookup(t.Context(), idemhttp.Key("global", "k")); err != nil || info.State != backend.Completed {
		t.Errorf("%v, %v", info.State, err)
	}
	if a := post(t, server, "k", ""); a.body != "done" || !a.replayed() {
		t.Errorf("%v %q", a.Status, a.body)
	}
}

// A timeout outside answers its client; the handler finishes.
func TestTimeoutHandlerOutside(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	goOn := make(chan struct{})
	var runs atomic.Int32
	protected := newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		<-goOn
		if _, ok := r.Context().Deadline(); ok {
			t.Error("the timeout reaches the handler")
		}
		io.WriteString(w, "done")
	}))
	impatient := httptest.NewServer(http.TimeoutHandler(protected, 20*time.Millisecond, "too late"))
	defer impatient.Close()
	if a := post(t, impatient, "k", ""); a.StatusCode != http.StatusServiceUnavailable || a.body != "too late" {
		t.Errorf("%v %q", a.Status, a.body)
	}
	close(goOn)
	if err := x.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	patient := httptest.NewServer(protected)
	defer patient.Close()
	if a := post(t, patient, "k", ""); a.body != "done" || !a.replayed() || runs.Load() != 1 {
		t.Errorf("%v %q, ran %d times", a.Status, a.body, runs.Load())
	}
}

// A ctx that something outside ends, with the client still there, must not look
// like an empty success.
func TestContextEndsWhileItWaits(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	inside, goOn := make(chan struct{}), make(chan struct{})
	protected := newMiddleware(t, x, idemhttp.Options{})(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-goOn
	}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Short") != "" {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
			defer cancel()
			r = r.WithContext(ctx)
		}
		protected.ServeHTTP(w, r)
	}))
	defer server.Close()
	done := make(chan struct{})
	go func() { defer close(done); post(t, server, "k", "") }()
	<-inside
	a := post(t, server, "k", "", "X-Short", "1")
	wantProblem(t, a, http.StatusServiceUnavailable, idemhttp.CodeUnavailable)
	wantRetryAfter(t, a, 1, 1)
	close(goOn)
	<-done
}

// 100 Continue is sent for a request that will be read, and for no other.
func TestExpectContinue(t *testing.T) {
	server := serve(t, idemhttp.Options{MaxBody: 10, Required: true}, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})
	head := func(key string, length int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", key, length)
	}
	for i := range 2 {
		conn := dial(t, server, head("Idempotency-Key: k\r\n", 5))
		reader := bufio.NewReader(conn)
		if line, _ := reader.ReadString('\n'); !strings.Contains(line, "100 Continue") {
			t.Errorf("request %d: %q", i, line)
		}
		reader.ReadString('\n')
		io.WriteString(conn, "hello")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		if string(body) != "hello" || (response.Header.Get("Idempotency-Replayed") == "true") != (i == 1) {
			t.Errorf("%q %v", body, response.Header)
		}
	}
	for _, test := range []struct {
		say    string
		status int
	}{
		{head("", 5), http.StatusBadRequest},
		{head("Idempotency-Key: \"\r\n", 5), http.StatusBadRequest},
		{head("Idempotency-Key: l\r\n", 11), http.StatusRequestEntityTooLarge},
	} {
		response, err := http.ReadResponse(bufio.NewReader(dial(t, server, test.say)), nil)
		if err != nil || response.StatusCode != test.status {
			t.Errorf("%q: %v, %v", test.say, response, err)
		}
	}
}
