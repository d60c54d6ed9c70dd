package idemclient_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency/idemclient"
)

// Every way in which a try can fail, followed by an answer.
func TestRetries(t *testing.T) {
	ok := status(200)
	half := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
	for _, test := range []struct {
		name    string
		first   reply
		reaches int // requests that reach the server; those cut before don't
		status  int
	}{
		{"cut before the request is read", reply{before: true}, 1, 200},
		{"cut after the request", reply{}, 2, 200},
		{"cut in the status line", reply{raw: "HTTP/1."}, 2, 200},
		{"cut in the header", reply{raw: "HTTP/1.1 200 OK\r\nContent-Le"}, 2, 200},
		{"cut in the body", reply{raw: half}, 2, 200},
		{"no HTTP", reply{raw: "SSH-2.0-OpenSSH\r\n"}, 2, 200},
		{"in flight", status(409, "Retry-After: 0"), 2, 200},
		{"conflict of the application", status(409), 1, 409},
		{"conflict with an unreadable time", status(409, "Retry-After: soon"), 1, 409},
		{"negative time", status(409, "Retry-After: -1"), 1, 409},
		{"too early", status(425), 2, 200},
		{"too many requests", status(429), 2, 200},
		{"bad gateway", status(502), 2, 200},
		{"unavailable", status(503), 2, 200},
		{"unavailable since long ago", status(503, "Retry-After: Thu, 01 Jan 2015 00:00:00 GMT"), 2, 200},
		{"gateway timeout", status(504), 2, 200},
		{"replayed unavailable", status(503, "Idempotency-Replayed: true"), 1, 503},
		{"replayed by Stripe", status(429, "Idempotent-Replayed: true"), 1, 429},
		{"asks for an hour", status(503, "Retry-After: 3600"), 1, 503},
		{"asks for ages", status(503, "Retry-After: 99999999999999999999999"), 1, 503},
		{"bad request", status(400, "Retry-After: 0"), 1, 400},
		{"timeout of the server", status(408), 1, 408},
		{"mismatch", status(422, "Retry-After: 0"), 1, 422},
		{"server error", status(500), 1, 500},
		{"created", status(201), 1, 201},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := newRawServer(t, test.first, ok)
			response, err := newClient(t, quick()).Do(newRequest(t, "POST", server.url(), "order"))
			if err != nil {
				t.Fatal(err)
			}
			if body := read(t, response); response.StatusCode != test.status || body != "body" {
				t.Errorf("%d %q, want %d", response.StatusCode, body, test.status)
			}
			seen := server.seen()
			oneKey(t, seen)
			if len(seen) != test.reaches {
				t.Errorf("%d requests, want %d", len(seen), test.reaches)
			}
			for _, r := range seen {
				if r.body != "order" {
					t.Errorf("body %q was sent", r.body)
				}
			}
			want := test.reaches
			if test.first.before {
				want++
			}
			if sent, ok := idemclient.SentOf(response); !ok || sent.Attempts != want || `"`+sent.Key+`"` != seen[0].key[0] {
				t.Errorf("sent %+v, want %d tries", sent, want)
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	retries := 0
	options := quick()
	options.OnRetry = func(_ context.Context, r idemclient.Retry) {
		if retries++; r.Attempt != retries || r.Err == nil || r.Status != 0 || r.Delay <= 0 {
			t.Errorf("retry %d: %+v", retries, r)
		}
	}
	_, err = newClient(t, options).Do(newRequest(t, "POST", "http://"+listener.Addr().String(), "x"))
	var op *net.OpError
	if !errors.As(err, &op) || retries != 4 {
		t.Errorf("%v after %d retries", err, retries)
	}
}

func TestSilentServer(t *testing.T) {
	for name, first := range map[string]reply{
		"says nothing":          {hold: true},
		"stops in the header":   {raw: "HTTP/1.1 200 OK\r\n", hold: true},
		"stops in the body":     {raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", hold: true},
		"stops in a 503's body": {raw: "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", hold: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := newRawServer(t, first, status(200))
			options := quick()
			options.AttemptTimeout = 100 * time.Millisecond
			response, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			if body := read(t, response); response.StatusCode != 200 || body != "body" {
				t.Errorf("%d %q", response.StatusCode, body)
			}
			oneKey(t, server.seen())
		})
	}
	t.Run("for ever", func(t *testing.T) {
		server := newRawServer(t, reply{hold: true})
		options := quick()
		options.AttemptTimeout, options.MaxAttempts = 20*time.Millisecond, 3
		_, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || errors.Is(err, context.Canceled) || len(server.seen()) != 3 {
			t.Errorf("%v after %d", err, len(server.seen()))
		}
	})
}

// When all tries are used up, the last answer is returned as it is.
func TestGivesUp(t *testing.T) {
	server := newRawServer(t, status(503), status(502), status(429, "X-Last: yes"))
	options := quick()
	options.MaxAttempts = 3
	response, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response); response.StatusCode != 429 || body != "body" || response.Header.Get("X-Last") != "yes" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if n := server.connections(); n != 1 {
		t.Errorf("%d connections, want one: answers must be drained", n)
	}

	chunked := reply{raw: "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", keep: true}
	server = newRawServer(t, chunked, chunked, status(200))
	response, err = newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, response); server.connections() != 1 || len(server.seen()) != 3 {
		t.Errorf("%d connections for %d tries, want one: answers must be drained", server.connections(), len(server.seen()))
	}

	half := newRawServer(t, reply{raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"})
	response, err = newClient(t, options).Do(newRequest(t, "POST", half.url(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if string(data) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) || len(half.seen()) != 3 {
		t.Errorf("%q, %v after %d", data, err, len(half.seen()))
	}

	elapsed := newRawServer(t, status(503))
	options.MaxElapsed, options.MinBackoff, options.MaxBackoff = time.Millisecond, time.Minute, time.Minute
	response, err = newClient(t, options).Do(newRequest(t, "POST", elapsed.url(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, response); len(elapsed.seen()) != 1 || response.StatusCode != 503 {
		t.Errorf("MaxElapsed: %d requests, status %d", len(elapsed.seen()), response.StatusCode)
	}
}

func TestNeverRetried(t *testing.T) {
	for _, method := range []string{"POST", "PATCH", "LINK"} {
		server := newRawServer(t, reply{}, status(200))
		options := quick()
		options.Methods = []string{"OTHER"}
		if response, err := newClient(t, options).Do(newRequest(t, method, server.url(), "x")); err == nil {
			response.Body.Close()
			t.Errorf("%s without a key was sent again", method)
		}
		if seen := server.seen(); len(seen) != 1 || seen[0].key != nil {
			t.Errorf("%s: %+v", method, seen)
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		server := newRawServer(t, reply{}, status(200))
		response, err := newClient(t, quick()).Do(newRequest(t, method, server.url(), ""))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if seen := server.seen(); len(seen) != 2 || seen[1].key != nil {
			t.Errorf("%s: %+v", method, seen)
		}
	}
}

// stream is a body that http.NewRequest can't repeat.
type stream struct {
	io.Reader
	closed atomic.Int32
}

func (s *stream) Close() error { s.closed.Add(1); return nil }

func TestBodies(t *testing.T) {
	send := func(t *testing.T, server *rawServer, body io.ReadCloser, length int64) (*http.Response, error) {
		options := quick()
		options.MaxBody = 10
		req := newRequest(t, "POST", server.url(), "")
		req.Body, req.ContentLength = body, length
		return newClient(t, options).Do(req)
	}
	for _, length := range []int64{-1, 10} {
		server := newRawServer(t, status(503), status(200))
		body := &stream{Reader: strings.NewReader("0123456789")}
		response, err := send(t, server, body, length)
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if seen := server.seen(); len(seen) != 2 || seen[1].body != "0123456789" || body.closed.Load() == 0 {
			t.Errorf("length %d: %+v, closed %d", length, seen, body.closed.Load())
		}
	}
	for _, length := range []int64{-1, 11} {
		server := newRawServer(t, status(503), status(200))
		body := &stream{Reader: strings.NewReader("0123456789a")}
		response, err := send(t, server, body, length)
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if seen := server.seen(); len(seen) != 1 || seen[0].body != "0123456789a" || seen[0].key == nil || response.StatusCode != 503 || body.closed.Load() == 0 {
			t.Errorf("too long, length %d: %+v", length, seen)
		}
	}
	t.Run("unreadable", func(t *testing.T) {
		server := newRawServer(t, status(200))
		body := &stream{Reader: io.MultiReader(strings.NewReader("01"), failingReader{})}
		if _, err := send(t, server, body, -1); !errors.Is(err, errDisk) || body.closed.Load() == 0 || len(server.seen()) != 0 {
			t.Errorf("%v, closed %d", err, body.closed.Load())
		}
	})
	t.Run("ctx ends while the body is read", func(t *testing.T) {
		server := newRawServer(t, status(200))
		in, out := io.Pipe()
		defer out.Close()
		ctx, cancel := context.WithCancel(t.Context())
		req := newRequest(t, "POST", server.url(), "").WithContext(ctx)
		req.Body, req.ContentLength = in, -1
		go cancel()
		if _, err := newClient(t, quick()).Do(req); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		server := newRawServer(t, status(503), status(200))
		response, err := send(t, server, &stream{Reader: strings.NewReader("")}, -1)
		if err != nil {
			t.Fatal(err)
		}
		if read(t, response); len(server.seen()) != 2 {
			t.Error("an empty body was not sent again")
		}
	})
}

var errDisk = errors.New("disk on fire")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errDisk }

// The caller's request stays as it was (http.RoundTripper).
func TestRequestIsNotChanged(t *testing.T) {
	server := newRawServer(t, reply{}, status(503), status(200))
	transport, err := idemclient.New(&http.Transport{DisableKeepAlives: true}, quick())
	if err != nil {
		t.Fatal(err)
	}
	req := newRequest(t, "POST", server.url(), "order")
	req.Header.Set("X-Mine", "1")
	before, body := req.Header.Clone(), req.Body
	ctx, length := req.Context(), req.ContentLength
	response, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	if len(req.Header) != len(before) || req.Header.Get("X-Mine") != "1" || req.Body != body || req.Context() != ctx || req.ContentLength != length {
		t.Errorf("the request was changed: %+v", req)
	}
}

func TestContextEnds(t *testing.T) {
	t.Run("while waiting", func(t *testing.T) {
		server := newRawServer(t, status(503))
		ctx, cancel := context.WithCancelCause(t.Context())
		options := quick()
		options.MinBackoff, options.MaxBackoff = time.Hour, time.Hour
		options.MaxElapsed = 24 * time.Hour
		options.OnRetry = func(context.Context, idemclient.Retry) { cancel(errDisk) }
		_, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x").WithContext(ctx))
		if !errors.Is(err, errDisk) {
			t.Error(err)
		}
	})
	t.Run("while the server is silent", func(t *testing.T) {
		server := newRawServer(t, reply{hold: true})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := newClient(t, quick()).Do(newRequest(t, "POST", server.url(), "x").WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || len(server.seen()) != 1 {
			t.Errorf("%v after %d", err, len(server.seen()))
		}
	})
	t.Run("an answer rather than a wait that can't end well", func(t *testing.T) {
		server := newRawServer(t, status(503, "Retry-After: 30"))
		client := newClient(t, quick())
		client.Timeout = 20 * time.Second
		response, err := client.Do(newRequest(t, "POST", server.url(), "x"))
		if err != nil {
			t.Fatal(err)
		}
		if read(t, response); response.StatusCode != 503 || len(server.seen()) != 1 {
			t.Errorf("%d after %d", response.StatusCode, len(server.seen()))
		}
	})
	t.Run("client timeout", func(t *testing.T) {
		server := newRawServer(t, reply{hold: true})
		client := newClient(t, quick())
		client.Timeout = 50 * time.Millisecond
		_, err := client.Do(newRequest(t, "POST", server.url(), "x"))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Error(err)
		}
	})
}

// Answers that may be streams reach the caller while they are written, and
// closing them ends the request.
func TestStreamsAreNotHeldUp(t *testing.T) {
	left := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(left)
	}))
	t.Cleanup(server.Close)
	options := quick()
	options.AttemptTimeout = 100 * time.Millisecond // only until the header is there
	response, err := newClient(t, options).Do(newRequest(t, "POST", server.URL, "x"))
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first" {
		t.Fatal(string(first), err)
	}
	time.AfterFunc(200*time.Millisecond, func() { response.Body.Close() })
	if _, err := response.Body.Read(first); err == nil {
		t.Error("read on after Close")
	}
	<-left
}

func TestStreamResponses(t *testing.T) {
	server := newRawServer(t, reply{raw: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"})
	for name, change := range map[string]func(*idemclient.Options){
		"by option":       func(o *idemclient.Options) { o.StreamResponses = true },
		"above the bound": func(o *idemclient.Options) { o.MaxResponse = 9 },
		"without retries": func(o *idemclient.Options) { o.MaxAttempts = 1 },
	} {
		before := len(server.seen())
		options := quick()
		change(&options)
		response, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
		response.Body.Close()
		if n := len(server.seen()) - before; n != 1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

func TestHopelessErrors(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	options := quick()
	options.OnRetry = func(_ context.Context, r idemclient.Retry) { t.Errorf("retried %v", r.Err) }
	client := newClient(t, options)
	for _, url := range []string{
		secure.URL, strings.Replace(plain.URL, "http:", "https:", 1), "gopher://127.0.0.1/", "http://",
	} {
		if response, err := client.Do(newRequest(t, "POST", url, "x")); err == nil {
			response.Body.Close()
			t.Errorf("%s answered", url)
		}
	}
	bad := newRequest(t, "POST", plain.URL, "x")
	bad.Header["X-Bad"] = []string{"a\nb"}
	if response, err := client.Do(bad); err == nil {
		response.Body.Close()
		t.Error("a broken header was sent")
	}
}

// Over HTTP/2 a try that fails ends its stream, not the connection.
func TestHTTP2(t *testing.T) {
	var tries atomic.Int32
	var keys [3]string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := tries.Add(1)
		keys[n-1] = r.Header.Get("Idempotency-Key")
		_, _ = io.Copy(io.Discard, r.Body)
		switch n {
		case 1:
			panic(http.ErrAbortHandler) // RST_STREAM
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			_, _ = io.WriteString(w, r.Proto)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	transport, err := idemclient.New(server.Client().Transport, quick())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	t.Cleanup(client.CloseIdleConnections)
	response, err := client.Do(newRequest(t, "POST", server.URL, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response); body != "HTTP/2.0" || tries.Load() != 3 || keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[2] {
		t.Errorf("%q after %d tries, keys %q", body, tries.Load(), keys)
	}
}

func TestRetryOption(t *testing.T) {
	server := newRawServer(t, status(500), status(200))
	options := quick()
	options.Retry = func(response *http.Response, err error) bool {
		return err == nil && response.StatusCode == 500 || idemclient.DefaultRetry(response, err)
	}
	var told bytes.Buffer
	options.OnRetry = func(_ context.Context, r idemclient.Retry) { told.WriteString(http.StatusText(r.Status)) }
	response, err := newClient(t, options).Do(newRequest(t, "POST", server.url(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	if read(t, response); response.StatusCode != 200 || told.String() != "Internal Server Error" {
		t.Errorf("%d, told %q", response.StatusCode, told.String())
	}
}
