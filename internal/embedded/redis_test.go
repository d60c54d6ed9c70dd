package embedded

import (
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func TestRedisStartsAndStops(t *testing.T) {
	t.Setenv("REPRISE_REDIS_ADDR", "")
	server, err := Redis(t.Context())
	if err != nil || !server.Embedded || server.String() != "an embedded Redis" {
		t.Fatalf("%v, %v", server, err)
	}
	conn, err := net.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	server.Stop()
	if conn, err := net.Dial("tcp", server.Addr); err == nil {
		conn.Close()
		t.Error("it is still there")
	}
}

func TestRedisOfTheEnvironment(t *testing.T) {
	mini := miniredis.RunT(t)
	t.Setenv("REPRISE_REDIS_ADDR", mini.Addr())
	server, err := Redis(t.Context())
	if err != nil || server.Embedded || server.Addr != mini.Addr() || server.String() != "the Redis at "+mini.Addr() {
		t.Fatalf("%v, %v", server, err)
	}
	server.Stop()
	mini.Close()
	if _, err := Redis(t.Context()); err == nil {
		t.Error("no error for a server that isn't there")
	}
}

func TestFollowRealTime(t *testing.T) {
	server := miniredis.RunT(t)
	stop := FollowRealTime(server, time.Millisecond)
	defer stop()
	server.Set("key", "value")
	server.SetTTL("key", 50*time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); server.Exists("key"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the key has not expired")
		}
	}
}
