package redistest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

var shared struct {
	sync.Mutex
	server *Server
	users  int
}

// Address is the host:port of a server that all tests of the binary may use at
// once, each with keys of its own: REPRISE_REDIS_ADDR where that is set,
// otherwise a redis-server that runs for as long as any test uses it.
func Address(tb testing.TB) string {
	tb.Helper()
	if addr := os.Getenv("REPRISE_REDIS_ADDR"); addr != "" {
		return addr
	}
	path := binary(tb)
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		dir, err := os.MkdirTemp("", "reprise-redis-")
		if err != nil {
			tb.Fatalf("redistest: %v", err)
		}
		if shared.server, err = start(path, dir, nil); err != nil {
			_ = os.RemoveAll(dir)
			tb.Fatalf("redistest: %v", err)
		}
	}
	shared.users++
	tb.Cleanup(release)
	return shared.server.addr
}

func release() {
	shared.Lock()
	defer shared.Unlock()
	if shared.users--; shared.users > 0 {
		return
	}
	shared.server.stop()
	_ = os.RemoveAll(shared.server.dir)
	shared.server = nil
}

var prefixes struct {
	sync.Mutex
	n int
}

// Prefix is a key prefix that no other test uses on a shared server.
func Prefix(tb testing.TB) string {
	tb.Helper()
	prefixes.Lock()
	defer prefixes.Unlock()
	prefixes.n++
	return fmt.Sprintf("t%d-%d:", os.Getpid(), prefixes.n)
}
