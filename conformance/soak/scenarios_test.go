//go:build unix

package soak

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/redistest"
)

// scenario is an installation of servers and what happens to it.
type scenario interface {
	kind() string
	addrs() []string   // for the clients
	servers() []string // that keep records and are to be disturbed
	masters() []string // that keep records now
	// act makes trouble until ctx ends, in the goroutine of the test.
	act(ctx context.Context, s *soak, random *rand.Rand)
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds()+1, 10) }

// single is one server with an append-only file, which is killed and started
// again.
type single struct {
	server *redistest.Server
	kills  bool
	// postpones: the server confirms writes that it hasn't handed to the kernel yet.
	// With appendfsync everysec it does so for as long as an fsync is under way, up
	// to two seconds (flushAppendOnlyFile in Redis' aof.c); with always it never
	// does.
	postpones bool
}

func startSingle(t *testing.T, fsync string) *single {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", fsync)
	return &single{server: server, kills: true, postpones: fsync != "always"}
}

func (sc *single) kind() string      { return "single" }
func (sc *single) addrs() []string   { return []string{sc.server.Addr()} }
func (sc *single) servers() []string { return sc.addrs() }
func (sc *single) masters() []string { return sc.addrs() }

func (sc *single) act(ctx context.Context, s *soak, random *rand.Rand) {
	for sleep(ctx, time.Duration(400+random.IntN(1600))*time.Millisecond) {
		if !sc.kills {
			continue
		}
		func() {
			s.control.Lock()
			defer s.control.Unlock()
			if sc.postpones {
				from, ok := sc.written(random.IntN(30))
				if !ok {
					return
				}
				s.log.add(event{Kind: evLosing, At: from})
				defer func() { s.log.add(event{Kind: evKept}) }()
			}
			s.silent(0, time.Second+reconnect)
			s.note("kill and restart", "")
			sc.server.Restart(s.t)
		}()
	}
}

// written looks at the server some times and returns when it was last known to
// have handed everything to the kernel that it had confirmed.
func (sc *single) written(looks int) (at int64, ok bool) {
	conn, err := redistest.Dial(sc.server.Addr())
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	for deadline := time.Now().Add(10 * time.Second); looks > 0 || at == 0; looks-- {
		before := now()
		info, err := conn.Do("INFO", "persistence")
		if err != nil || time.Now().After(deadline) {
			return 0, false
		}
		if strings.Contains(info.(string), "aof_buffer_length:0\r\n") {
			at = before
		}
		time.Sleep(time.Millisecond)
	}
	return at, true
}

// moving is a cluster whose slots move. Nothing may be lost.
type moving struct{ cluster *redistest.Cluster }

func (sc *moving) kind() string      { return "cluster" }
func (sc *moving) addrs() []string   { return sc.cluster.Addrs() }
func (sc *moving) servers() []string { return sc.cluster.Addrs() }
func (sc *moving) masters() []string { return sc.cluster.Addrs() }

func (sc *moving) act(ctx context.Context, s *soak, random *rand.Rand) {
	for sleep(ctx, time.Duration(20+random.IntN(100))*time.Millisecond) {
		from := random.IntN(len(sc.cluster.Nodes))
		key, err := command(sc.cluster.Nodes[from].Addr(), "RANDOMKEY")
		name, ok := key.(string)
		if err != nil || !ok {
			continue
		}
		func() {
			s.control.Lock()
			owner := sc.cluster.Owner(s.t, name)
			to := (owner + 1 + random.IntN(2)) % len(sc.cluster.Nodes)
			s.note("slot moves", "")
			sc.cluster.Begin(s.t, name, to)
			s.control.Unlock()
			// The slot is in two places meanwhile.
			sleep(ctx, time.Duration(random.IntN(120))*time.Millisecond)
			s.control.Lock()
			defer s.control.Unlock()
			sc.cluster.Move(s.t, name, to)
		}()
	}
}
