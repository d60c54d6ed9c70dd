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

// replicated is a master and a replica behind sentinels, which fail over. What
// wasn't replicated is lost.
type replicated struct {
	sentinels *redistest.Sentinels
	master    *redistest.Server
	replica   *redistest.Server
}

func startReplicated(t *testing.T) *replicated {
	sentinels := redistest.StartSentinels(t)
	sc := &replicated{sentinels: sentinels, master: sentinels.Master, replica: sentinels.Replica}
	// A sentinel leaves twice this time between two failovers.
	sc.tell(t, "failover-timeout", "1000")
	sc.tell(t, "down-after-milliseconds", patient)
	return sc
}

// Sentinels on a busy machine would take a slow master for a dead one, and what is
// lost then would be lost when nobody expects it. They are quick only while the
// master is dead indeed.
const (
	patient = "60000"
	quick   = "500"
)

// tell changes how the sentinels look after the master.
func (sc *replicated) tell(t *testing.T, option, value string) {
	for _, addr := range sc.sentinels.Addrs() {
		redistest.Do(t, addr, "SENTINEL", "SET", redistest.MasterName, option, value)
	}
}

func (sc *replicated) kind() string    { return "sentinel" }
func (sc *replicated) addrs() []string { return sc.sentinels.Addrs() }
func (sc *replicated) servers() []string {
	return []string{sc.sentinels.Master.Addr(), sc.sentinels.Replica.Addr()}
}
func (sc *replicated) masters() []string { return []string{sc.master.Addr()} }

func (sc *replicated) act(ctx context.Context, s *soak, random *rand.Rand) {
	for sleep(ctx, time.Duration(300+random.IntN(900))*time.Millisecond) {
		// What is confirmed before this is replicated; what comes later may be lost.
		from := now()
		if replicas, err := sc.sync(); err != nil || replicas < 1 || !sc.settled() {
			continue
		}
		s.log.add(event{Kind: evLosing, At: from})
		s.silent(0, 10*time.Second)
		if random.IntN(2) == 0 {
			sc.killMaster(s)
		} else {
			sc.failover(ctx, s, random)
		}
		s.log.add(event{Kind: evKept})
	}
}

// sync waits until the replica has everything.
func (sc *replicated) sync() (int64, error) {
	conn, err := redistest.Dial(sc.master.Addr())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Do("SET", "sync", "sync", "EX", "1"); err != nil {
		return 0, err
	}
	reply, err := conn.Do("WAIT", "1", "2000")
	if err != nil {
		return 0, err
	}
	return reply.(int64), nil
}

func (sc *replicated) killMaster(s *soak) {
	s.note("master killed", "")
	sc.master.Kill(s.t)
	sc.tell(s.t, "down-after-milliseconds", quick)
	sc.awaitPromotion(s, func() {})
	sc.tell(s.t, "down-after-milliseconds", patient)
	s.control.Lock()
	defer s.control.Unlock()
	sc.replica.Restart(s.t) // it comes up empty, and as a master
	sc.demote(s)
}

// failover makes the sentinels fail over while the master is well. For some time
// both may take writes.
func (sc *replicated) failover(ctx context.Context, s *soak, random *rand.Rand) {
	s.note("SENTINEL FAILOVER", "")
	next := time.Now()
	sc.awaitPromotion(s, func() {
		// It gives up where it can't reach the servers for a second, and refuses while
		// it is at it.
		if time.Now().After(next) {
			next = time.Now().Add(200 * time.Millisecond)
			_, _ = command(sc.sentinels.Addrs()[0], "SENTINEL", "FAILOVER", redistest.MasterName)
		}
	})
	sleep(ctx, time.Duration(random.IntN(500))*time.Millisecond)
	s.control.Lock()
	defer s.control.Unlock()
	sc.demote(s)
}

// awaitPromotion waits until the sentinels name the other server, and calls push
// while they all name the old one.
func (sc *replicated) awaitPromotion(s *soak, push func()) {
	sc.master, sc.replica = sc.replica, sc.master
	err := s.eventually("a new master", func() bool {
		old, promoted := 0, 0
		for _, sentinel := range sc.sentinels.Addrs() {
			reply, err := command(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", redistest.MasterName)
			if err != nil {
				return false
			}
			if at, ok := reply.([]any); ok && at[0].(string)+":"+at[1].(string) == sc.master.Addr() {
				promoted++
			} else {
				old++
			}
		}
		if old == len(sc.sentinels.Addrs()) {
			push()
		}
		info, err := command(sc.master.Addr(), "INFO", "replication")
		return promoted == len(sc.sentinels.Addrs()) && err == nil && strings.Contains(info.(string), "role:master")
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// settled tells whether all sentinels name the master, and none is at a failover.
func (sc *replicated) settled() bool {
	for _, sentinel := range sc.sentinels.Addrs() {
		reply, err := command(sentinel, "SENTINEL", "MASTER", redistest.MasterName)
		fields, ok := reply.([]any)
		if err != nil || !ok {
			return false
		}
		about := map[string]string{}
		for i := 0; i+1 < len(fields); i += 2 {
			about[fields[i].(string)] = fields[i+1].(string)
		}
		if about["ip"]+":"+about["port"] != sc.master.Addr() || strings.Contains(about["flags"], "failover_in_progress") {
			return false
		}
	}
	return true
}

// demote does to the old master what the sentinels would do some seconds later,
// and waits until it follows.
func (sc *replicated) demote(s *soak) {
	host, port, _ := strings.Cut(sc.master.Addr(), ":")
	addr := sc.replica.Addr()
	err := s.eventually("a replica that is in sync", func() bool {
		info, err := command(addr, "INFO", "replication")
		if err != nil {
			return false
		}
		if !strings.Contains(info.(string), "role:slave") {
			_, _ = command(addr, "REPLICAOF", host, port)
			_, _ = command(addr, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			_, _ = command(addr, "CLIENT", "KILL", "TYPE", "pubsub")
			return false
		}
		return strings.Contains(info.(string), "master_link_status:up") && sc.settled()
	})
	if err != nil {
		s.t.Fatal(err)
	}
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
