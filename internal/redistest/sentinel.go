package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MasterName is what the sentinels of [StartSentinels] call the master.
const MasterName = "main"

// Sentinels is a master with a replica, watched by three sentinels.
type Sentinels struct {
	Master, Replica *Server // as they were at the start
	sentinels       []*Server
}

// StartSentinels starts a master, a replica and sentinels of the test's own and
// waits until the replica is in sync and the sentinels know each other. A master
// counts as down after half a second.
func StartSentinels(tb testing.TB) *Sentinels {
	tb.Helper()
	path := binary(tb)
	s := &Sentinels{Master: Start(tb, "--repl-diskless-sync-delay", "0")}
	host, port, _ := strings.Cut(s.Master.Addr(), ":")
	s.Replica = Start(tb, "--repl-diskless-sync-delay", "0", "--replicaof", host+" "+port)
	// Sentinels that come before the replica hear of it only ten seconds later.
	await(tb, "a replica in sync", func() bool {
		return strings.Contains(s.Master.Do(tb, "INFO", "replication").(string), "state=online")
	})
	for range 3 {
		sentinel, err := startSentinel(path, tb.TempDir(), host, port)
		if err != nil {
			tb.Fatalf("redistest: sentinel: %v", err)
		}
		tb.Cleanup(sentinel.stop)
		s.sentinels = append(s.sentinels, sentinel)
	}
	for _, sentinel := range s.sentinels {
		await(tb, "sentinels that know each other", func() bool {
			info := sentinel.Do(tb, "INFO", "sentinel").(string)
			return strings.Contains(info, "status=ok") && strings.Contains(info, "slaves=1,sentinels=3")
		})
	}
	return s
}

func startSentinel(path, dir, host, port string) (*Server, error) {
	var err error
	for range 5 {
		var own int
		if own, err = freePort(); err != nil {
			return nil, err
		}
		config := filepath.Join(dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n"+
			"sentinel monitor %[3]s %[4]s %[5]s 2\nsentinel down-after-milliseconds %[3]s 500\n"+
			"sentinel failover-timeout %[3]s 5000\nsentinel parallel-syncs %[3]s 1\n", own, dir, MasterName, host, port)
		if err = os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, err
		}
		s := &Server{addr: fmt.Sprintf("127.0.0.1:%d", own), dir: dir, args: []string{path, config, "--sentinel"}}
		if err = s.run(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// Addrs are the addresses of the sentinels.
func (s *Sentinels) Addrs() []string {
	addrs := make([]string, len(s.sentinels))
	for i, sentinel := range s.sentinels {
		addrs[i] = sentinel.Addr()
	}
	return addrs
}

// Current is the address that the sentinels have for the master.
func (s *Sentinels) Current(tb testing.TB) string {
	tb.Helper()
	reply := s.sentinels[0].Do(tb, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName).([]any)
	return reply[0].(string) + ":" + reply[1].(string)
}

// AwaitFailover waits until the sentinels have made the replica the master.
func (s *Sentinels) AwaitFailover(tb testing.TB) {
	tb.Helper()
	await(tb, "a new master", func() bool {
		return s.Current(tb) == s.Replica.Addr() &&
			strings.Contains(s.Replica.Do(tb, "INFO", "replication").(string), "role:master")
	})
}

func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			tb.Fatalf("redistest: still not %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
