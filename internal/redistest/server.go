package redistest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const startTimeout = 15 * time.Second

// Server is a redis-server process on a free port of the loopback interface.
type Server struct {
	addr string
	args []string
	dir  string

	mu      sync.Mutex
	process *os.Process
	exited  chan struct{}
	output  *lockedBuffer
}

// Start starts a server of the test's own, without persistence unless args say
// otherwise, and stops it when the test ends. Args are appended to the
// command line: "--appendonly", "yes".
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s, err := start(binary(tb), tb.TempDir(), args)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	tb.Cleanup(s.stop)
	return s
}

// binary is the path of redis-server; without one the test is skipped, or fails
// where the environment requires one.
func binary(tb testing.TB) string {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("REPRISE_REQUIRE_REDIS") == "1" {
			tb.Fatalf("redistest: REPRISE_REQUIRE_REDIS=1, but there is no redis-server: %v", err)
		}
		tb.Skipf("redistest: needs a redis-server on PATH or REPRISE_REDIS_ADDR: %v", err)
	}
	return path
}

// start tries a few ports: between choosing one and listening on it another
// process may take it.
func start(path, dir string, args []string) (*Server, error) {
	var err error
	for range 5 {
		var port int
		if port, err = freePort(); err != nil {
			return nil, err
		}
		s := &Server{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), dir: dir}
		s.args = append([]string{
			path, "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
			"--save", "", "--appendonly", "no", "--enable-debug-command", "local", "--daemonize", "no",
		}, args...)
		if err = s.run(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) run() error {
	output := new(lockedBuffer)
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, output, output
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	s.mu.Lock()
	s.process, s.exited, s.output = cmd.Process, exited, output
	s.mu.Unlock()

	deadline := time.Now().Add(startTimeout)
	for {
		if s.answers() {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("redis-server ended at once:\n%s", output)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.stop()
			return fmt.Errorf("redis-server does not answer:\n%s", output)
		}
	}
}

// answers tells whether this process (and not a stranger on its port) answers,
// and has loaded its data.
func (s *Server) answers() bool {
	conn, err := Dial(s.addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := conn.Do("PING"); err != nil && !strings.HasPrefix(err.Error(), "NOAUTH") {
		return false
	}
	info, err := conn.Do("INFO", "server")
	if err != nil {
		return strings.HasPrefix(err.Error(), "NOAUTH")
	}
	return strings.Contains(info.(string), fmt.Sprintf("process_id:%d\r\n", s.Process().Pid))
}

// Addr is the server's host:port; it stays the same over a restart.
func (s *Server) Addr() string { return s.addr }

// Process is the running server.
func (s *Server) Process() *os.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Kill ends the process as a crash would (SIGKILL).
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.stop()
}

// Restart kills the process and starts it again on the same port and directory.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.stop()
	if err := s.run(); err != nil {
		tb.Fatalf("redistest: restart: %v", err)
	}
}

// Do runs a control command on a connection of its own.
func (s *Server) Do(tb testing.TB, args ...string) any {
	tb.Helper()
	return Do(tb, s.addr, args...)
}

// Do runs a control command on a connection of its own; an error ends the test.
func Do(tb testing.TB, addr string, args ...string) any {
	tb.Helper()
	conn, err := Dial(addr)
	if err != nil {
		tb.Fatalf("redistest: %v", err)
	}
	defer conn.Close()
	reply, err := conn.Do(args...)
	if err != nil {
		tb.Fatalf("redistest: %s: %v", strings.Join(args[:min(len(args), 2)], " "), err)
	}
	return reply
}

func (s *Server) stop() {
	s.mu.Lock()
	process, exited := s.process, s.exited
	s.mu.Unlock()
	_ = process.Kill()
	<-exited
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
