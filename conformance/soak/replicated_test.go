//go:build unix

package soak

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/redistest"
)

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
