package faults_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/conformance/faults"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// server answers "ok <line>" to every line and remembers the lines.
type server struct {
	listener net.Listener
	mu       sync.Mutex
	lines    []string
	conns    map[net.Conn]struct{}
	running  sync.WaitGroup
}

func startServer(t *testing.T) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{listener: listener, conns: map[net.Conn]struct{}{}}
	s.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = struct{}{}
			s.mu.Unlock()
			s.running.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for conn := range s.conns {
			conn.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, strings.TrimSpace(line))
		s.mu.Unlock()
		fmt.Fprintf(conn, "ok %s", line)
	}
}

func (s *server) heard(line string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, l := range s.lines {
		if l == line {
			n++
		}
	}
	return n
}

func startProxy(t *testing.T, options faults.ProxyOptions) (*faults.Proxy, *server) {
	t.Helper()
	s := startServer(t)
	p, err := faults.NewProxy(s.listener.Addr().String(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, s
}

type client struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, p *faults.Proxy) *client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{Conn: conn, lines: bufio.NewReader(conn)}
}

func (c *client) ask(line string) (string, error) {
	if _, err := fmt.Fprintf(c, "%s\n", line); err != nil {
		return "", err
	}
	reply, err := c.lines.ReadString('\n')
	return strings.TrimSpace(reply), err
}

func (c *client) mustAsk(t *testing.T, line string) {
	t.Helper()
	if reply, err := c.ask(line); err != nil || reply != "ok "+line {
		t.Fatalf("asked %q, got %q, %v", line, reply, err)
	}
}

func (c *client) mustBeCut(t *testing.T, line string) {
	t.Helper()
	reply, err := c.ask(line)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("asked %q, got %q, %v; want a cut connection", line, reply, err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func contains(s string) func([]byte) bool {
	return func(request []byte) bool { return bytes.Contains(request, []byte(s)) }
}

func TestProxyPasses(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	c := dial(t, p)
	for i := range 100 {
		c.mustAsk(t, fmt.Sprint("line", i))
	}
	if n := p.Forwarded(contains("line")); n != 100 {
		t.Errorf("Forwarded counts %d requests, want 100", n)
	}
	if s.heard("line7") != 1 || p.Connections() != 1 || p.Accepted() != 1 {
		t.Errorf("heard %d, open %d, accepted %d; want 1 each", s.heard("line7"), p.Connections(), p.Accepted())
	}
	c.Close()
	eventually(t, "a closed client's connection is gone", func() bool { return p.Connections() == 0 })
}

func TestProxyCutBeforeForwardsNothing(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	p.OnNth(contains("set"), 2, faults.CutBefore)
	c := dial(t, p)
	c.mustAsk(t, "set a")
	c.mustBeCut(t, "set b")
	eventually(t, "the connection is gone", func() bool { return p.Connections() == 0 })
	if s.heard("set b") != 0 || p.Forwarded(contains("set b")) != 0 {
		t.Error("a request was forwarded that was to be cut before")
	}
	if s.heard("set a") != 1 {
		t.Error("the first request was lost")
	}
	dial(t, p).mustAsk(t, "set c")
}

func TestProxyCutReplyAppliesTheRequest(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	p.OnNth(contains("set"), 1, faults.CutReply)
	c := dial(t, p)
	c.mustBeCut(t, "set a")
	// The client is cut by the server's answer, so the request is applied by now.
	if s.heard("set a") != 1 || p.Forwarded(contains("set a")) != 1 {
		t.Error("the request wasn't applied when the client was cut")
	}
}

func TestProxyDelayReply(t *testing.T) {
	p, _ := startProxy(t, faults.ProxyOptions{})
	const delay = 30 * time.Millisecond
	p.OnNth(nil, 1, faults.DelayReply(delay))
	c := dial(t, p)
	start := time.Now()
	c.mustAsk(t, "a")
	if took := time.Since(start); took < delay {
		t.Errorf("answered after %v, want at least %v", took, delay)
	}
	c.mustAsk(t, "b")
}

func TestProxyLateRequestArrivesAfterTheCut(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	p.OnNth(contains("late"), 1, faults.Late(0))
	p.OnNth(contains("timed"), 1, faults.Late(time.Millisecond))
	dial(t, p).mustBeCut(t, "late")
	dial(t, p).mustAsk(t, "other")
	if s.heard("late") != 0 {
		t.Fatal("the late request arrived before it was told to")
	}
	p.DeliverLate()
	if s.heard("late") != 1 || p.Forwarded(contains("late")) != 1 {
		t.Error("DeliverLate returned and the request wasn't applied")
	}
	dial(t, p).mustBeCut(t, "timed")
	eventually(t, "the timed request arrives by itself", func() bool { return s.heard("timed") == 1 })
}

func TestProxyCloseDropsLateRequests(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	p.OnNth(contains("late"), 1, faults.Late(time.Hour))
	dial(t, p).mustBeCut(t, "late")
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	if s.heard("late") != 0 || p.Forwarded(contains("late")) != 0 {
		t.Error("a request that was held back was forwarded by Close")
	}
}

func TestProxyBlackhole(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	p.OnNth(contains("gone"), 1, faults.Blackhole)
	c := dial(t, p)
	c.mustAsk(t, "before")
	_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
	for _, line := range []string{"gone", "after"} {
		if reply, err := c.ask(line); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("asked %q, got %q, %v; want silence", line, reply, err)
		}
	}
	c.Close()
	eventually(t, "the swallowed connection is gone", func() bool { return p.Connections() == 0 })
	if s.heard("gone")+s.heard("after") != 0 {
		t.Error("the black hole let something through")
	}
}

func TestProxyCutAllAndPause(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{})
	c, d := dial(t, p), dial(t, p)
	c.mustAsk(t, "a")
	d.mustAsk(t, "b")
	p.CutAll()
	c.mustBeCut(t, "c")
	d.mustBeCut(t, "d")

	e := dial(t, p)
	p.Pause()
	p.Pause()
	answered := make(chan error, 1)
	go func() {
		reply, err := e.ask("paused")
		if err == nil && reply != "ok paused" {
			err = fmt.Errorf("got %q", reply)
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a paused proxy answered: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if s.heard("paused") != 0 {
		t.Error("a paused proxy forwarded a request")
	}
	p.Resume()
	p.Resume()
	if err := <-answered; err != nil {
		t.Errorf("after Resume: %v", err)
	}
}

func TestProxyPickAndObserve(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	p, _ := startProxy(t, faults.ProxyOptions{
		Log: 4,
		Pick: func(request []byte) faults.Action {
			if bytes.HasPrefix(request, []byte("cut")) {
				return faults.CutBefore
			}
			return faults.Pass
		},
		Observe: func(e faults.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			seen[strings.TrimSpace(string(e.Request))] = e.Forwarded
		},
	})
	c := dial(t, p)
	for i := range 20 {
		c.mustAsk(t, fmt.Sprint("go", i))
	}
	c.mustBeCut(t, "cut")
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 21 || !seen["go19"] || seen["cut"] {
		t.Errorf("observed %v", seen)
	}
	if n := len(p.Exchanges()); n > 4 {
		t.Errorf("remembers %d exchanges, want at most 4", n)
	}
}

func TestProxyManyAtOnce(t *testing.T) {
	p, _ := startProxy(t, faults.ProxyOptions{Pick: func(request []byte) faults.Action {
		switch request[len(request)-2] {
		case '1':
			return faults.CutBefore
		case '2':
			return faults.CutReply
		case '3':
			return faults.Late(time.Millisecond)
		case '4':
			return faults.DelayReply(time.Millisecond)
		}
		return faults.Pass
	}})
	var clients sync.WaitGroup
	for g := range 8 {
		clients.Go(func() {
			for i := range 50 {
				conn, err := net.Dial("tcp", p.Addr())
				if err != nil {
					t.Error(err)
					return
				}
				_ = conn.SetDeadline(time.Now().Add(patience))
				fmt.Fprintf(conn, "g%d-%d\n", g, i)
				_, err = bufio.NewReader(conn).ReadString('\n')
				if last := i % 10; (err != nil) != (last >= 1 && last <= 3) {
					t.Errorf("request ending in %d: %v", last, err)
				}
				conn.Close()
			}
		})
	}
	clients.Wait()
}

func TestProxyToNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	p, err := faults.NewProxy(addr, faults.ProxyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	dial(t, p).mustBeCut(t, "a")
}

func TestWholeRESP(t *testing.T) {
	request := []byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\n\r\n*1\r\n\r\n")
	for n := 1; n < len(request); n++ {
		if faults.WholeRESP(request[:n]) {
			t.Errorf("whole after %d of %d bytes", n, len(request))
		}
	}
	if !faults.WholeRESP(request) || !faults.WholeRESP(append(request, request...)) {
		t.Error("a request, or two, aren't whole")
	}
	if faults.WholeRESP(append(bytes.Clone(request), request[:9]...)) {
		t.Error("one and a half requests are whole")
	}
	for _, other := range []string{"PING\r\n", "*x\r\n", "*1\r\nx"} {
		if !faults.WholeRESP([]byte(other)) {
			t.Errorf("%q isn't whole: it would be held back for ever", other)
		}
	}
}

func TestProxyHoldsBackPartsOfARequest(t *testing.T) {
	p, s := startProxy(t, faults.ProxyOptions{Complete: func(b []byte) bool { return b[len(b)-1] == '\n' }})
	p.OnNth(nil, 1, faults.CutBefore)
	c := dial(t, p)
	if _, err := io.WriteString(c, "first "); err != nil {
		t.Fatal(err)
	}
	c.mustBeCut(t, "second")
	if got := p.Exchanges(); len(got) != 1 || string(got[0].Request) != "first second\n" {
		t.Errorf("exchanges: %v", got)
	}
	if s.heard("first second") != 0 {
		t.Error("forwarded")
	}
}
