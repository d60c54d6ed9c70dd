//go:build unix

package redistest

import (
	"os"
	"syscall"
	"testing"
)

// Pause stops the process without closing its connections (SIGSTOP): the server
// is silent until Resume.
func (s *Server) Pause(tb testing.TB) {
	tb.Helper()
	s.signal(tb, syscall.SIGSTOP)
}

// Resume ends a Pause.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	s.signal(tb, syscall.SIGCONT)
}

func (s *Server) signal(tb testing.TB, sig os.Signal) {
	tb.Helper()
	if err := s.Process().Signal(sig); err != nil {
		tb.Fatalf("redistest: %v: %v", sig, err)
	}
}
