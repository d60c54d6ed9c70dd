package idemclient_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/idempotency/idemclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// request is one that a rawServer has read.
type request struct {
	key    []string
	method string
	path   string
	body   string
}

// reply is what a rawServer does with one request; after it the connection is
// closed, unless keep is true.
type reply struct {
	before bool   // close the connection before the request is read
	raw    string // what is written
	hold   bool   // then say nothing until the client hangs up
	keep   bool
}

func status(code int, headers ...string) reply {
	raw := fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: 4\r\n", code, http.StatusText(code))
	for _, h := range headers {
		raw += h + "\r\n"
	}
	return reply{raw: raw + "\r\nbody", keep: true}
}

// rawServer answers the nth request that reaches it with the nth reply, the last
// one for ever. It knows no HTTP but to read requests.
type rawServer struct {
	listener net.Listener
	replies  []reply

	mu       sync.Mutex
	n        int
	conns    map[net.Conn]bool
	accepted int
	requests []request
	wg       sync.WaitGroup
}

func newRawServer(t *testing.T, replies ...reply) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{listener: listener, replies: replies, conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

func (s *rawServer) url() string { return "http://" + s.listener.Addr().String() }

func (s *rawServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.accepted++
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serve(conn)
			conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *rawServer) next() reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replies[min(s.n, len(s.replies)-1)]
	s.n++
	return r
}

func (s *rawServer) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		if _, err := in.Peek(1); err != nil {
			return
		}
		r := s.next()
		if r.before {
			return
		}
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.requests = append(s.requests, request{req.Header["Idempotency-Key"], req.Method, req.URL.Path, string(body)})
		s.mu.Unlock()
		if _, err := io.WriteString(conn, r.raw); err != nil {
			return
		}
		if r.hold {
			_, _ = io.Copy(io.Discard, in)
		}
		if !r.keep {
			return
		}
	}
}

func (s *rawServer) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

func (s *rawServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// quick are options whose waits a test can afford.
func quick() idemclient.Options {
	return idemclient.Options{MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, MaxElapsed: time.Minute}
}

// newClient makes a client whose connections end with the test.
func newClient(t *testing.T, options idemclient.Options) *http.Client {
	t.Helper()
	base := &http.Transport{}
	transport, err := idemclient.New(base, options)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

func newRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var content io.Reader
	if body != "" {
		content = bytes.NewReader([]byte(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, content)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("body: %v", err)
	}
	return string(data)
}

// oneKey checks that all requests had the same one key, and returns it.
func oneKey(t *testing.T, requests []request) string {
	t.Helper()
	if len(requests) == 0 || len(requests[0].key) != 1 {
		t.Fatalf("requests: %+v", requests)
	}
	for _, r := range requests {
		if len(r.key) != 1 || r.key[0] != requests[0].key[0] {
			t.Fatalf("keys differ: %+v", requests)
		}
	}
	return requests[0].key[0]
}
