package main

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
)

func newMemory(t *testing.T) backend.Backend {
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	return store
}

// redisServer is the address of a real Redis: that of REPRISE_REDIS_ADDR, or one
// that is started for the test.
func redisServer(t *testing.T) string {
	t.Helper()
	if addr := os.Getenv("REPRISE_REDIS_ADDR"); addr != "" {
		return addr
	}
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("REPRISE_REQUIRE_REDIS") == "1" {
			t.Fatalf("REPRISE_REQUIRE_REDIS=1, but there is no redis-server: %v", err)
		}
		t.Skipf("needs a redis-server on PATH or REPRISE_REDIS_ADDR: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	listener.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	client := newRedisClient(addr)
	defer client.Close()
	for end := time.Now().Add(15 * time.Second); ; {
		err := client.Ping(t.Context()).Err()
		if err == nil {
			return addr
		}
		if time.Now().After(end) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
