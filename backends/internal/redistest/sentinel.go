package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Sentinels are a master with a replica, and three sentinels that watch them and
// fail over when two of them miss the master for half a second.
type Sentinels struct {
	// Name is the name of the master set.
	Name string
	// Data are the two servers: at first the first is the master.
	Data [2]*Server

	sentinels []*Server
}

// StartSentinels starts them for the test and stops them when it ends.
func StartSentinels(tb testing.TB) *Sentinels {
	tb.Helper()
	s := &Sentinels{Name: "main"}
	for i := range s.Data {
		s.Data[i] = Start(tb, "--repl-diskless-sync-delay", "0")
	}
	host, port, _ := net.SplitHostPort(s.Data[0].Addr())
	s.Data[1].Do(tb, "REPLICAOF", host, port)
	// Sentinels that start before the replica is there learn of it 10 s later.
	await(tb, "a replica that is online", func() bool {
		return strings.Contains(s.Data[0].Do(tb, "INFO", "replication").(string), "state=online")
	})
	for range 3 {
		s.sentinels = append(s.sentinels, startSentinel(tb, s.Name, host, port))
	}
	await(tb, "sentinels that know of each other", func() bool {
		for _, sentinel := range s.sentinels {
			others, _ := sentinel.Do(tb, "SENTINEL", "SENTINELS", s.Name).([]any)
			replicas, _ := sentinel.Do(tb, "SENTINEL", "REPLICAS", s.Name).([]any)
			if len(others) != len(s.sentinels)-1 || len(replicas) != 1 {
				return false
			}
		}
		return true
	})
	return s
}

func startSentinel(tb testing.TB, name, host, port string) *Server {
	tb.Helper()
	path, dir := binary(tb), tb.TempDir()
	var err error
	for range 5 {
		var own int
		if own, err = freePort(); err != nil {
			break
		}
		config := filepath.Join(dir, fmt.Sprintf("sentinel-%d.conf", own))
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %q\nsentinel monitor %s %s %s 2\n"+
			"sentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 5000\n",
			own, dir, name, host, port, name, name)
		if err = os.WriteFile(config, []byte(text), 0o600); err != nil {
			break
		}
		s := &Server{
			addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(own)), dir: dir,
			args: []string{path, config, "--sentinel"},
		}
		if err = s.run(); err == nil {
			tb.Cleanup(s.stop)
			return s
		}
	}
	tb.Fatalf("redistest: sentinel: %v", err)
	return nil
}

// Addrs are the host:port of the sentinels.
func (s *Sentinels) Addrs() []string {
	var addrs []string
	for _, sentinel := range s.sentinels {
		addrs = append(addrs, sentinel.Addr())
	}
	return addrs
}

// Master is the server that the sentinels name as the master.
func (s *Sentinels) Master(tb testing.TB) *Server {
	tb.Helper()
	addr, _ := s.sentinels[0].Do(tb, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Name).([]any)
	for _, server := range s.Data {
		if len(addr) == 2 && server.Addr() == net.JoinHostPort(addr[0].(string), addr[1].(string)) {
			return server
		}
	}
	tb.Fatalf("redistest: the sentinels name %q as the master", addr)
	return nil
}

// Replicated waits until the replica has what the master has.
func (s *Sentinels) Replicated(tb testing.TB) {
	tb.Helper()
	s.Master(tb).Do(tb, "WAIT", "1", "5000")
}

// Rejoin starts the servers that were killed again, and waits until the one that
// isn't the master is its replica.
func (s *Sentinels) Rejoin(tb testing.TB) {
	tb.Helper()
	for _, server := range s.Data {
		if !server.answers() {
			server.Restart(tb)
		}
	}
	await(tb, "a replica that is online", func() bool {
		return strings.Contains(s.Master(tb).Do(tb, "INFO", "replication").(string), "state=online")
	})
}

// FailOver kills the master and waits until the other server is it, for every
// sentinel.
func (s *Sentinels) FailOver(tb testing.TB) {
	tb.Helper()
	old := s.Master(tb)
	old.Kill(tb)
	await(tb, "a new master", func() bool {
		next := s.Master(tb)
		return next != old && strings.Contains(next.Do(tb, "INFO", "replication").(string), "role:master")
	})
}
