//go:build unix

package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/redistest"
)

// disturb does to workers, connections and servers what happens to them at any
// installation, at random times, until ctx ends. It returns when everything that
// was stopped goes on again.
func (s *soak) disturb(ctx context.Context, random *rand.Rand) {
	var lasting sync.WaitGroup
	defer lasting.Wait()
	lease := s.times.Lease
	for sleep(ctx, time.Duration(60+random.IntN(240))*time.Millisecond) {
		slot := random.IntN(len(s.network.slots))
		d := time.Duration(random.Int64N(int64(lease)))
		switch n := random.IntN(100); {
		case n < 12:
			if p := s.fleet.any(random); p != nil {
				s.fleet.kill(p)
			}
		case n < 37:
			if p := s.fleet.any(random); p != nil {
				lasting.Go(func() { s.fleet.pause(p, lease+2*d) })
			}
		case n < 50:
			s.toServers("SCRIPT FLUSH", "SCRIPT", "FLUSH")
		case n < 58:
			s.toServers("CLIENT KILL normal", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		case n < 70:
			s.toServers("CLIENT KILL pubsub", "CLIENT", "KILL", "TYPE", "pubsub")
		case n < 78:
			s.toServers("CLIENT PAUSE", "CLIENT", "PAUSE", milliseconds(d/2), "WRITE")
		case n < 90:
			s.note("cut", "")
			for _, proxy := range s.network.slots[slot] {
				proxy.CutAll()
			}
		default:
			s.silent(s.fleet.in(slot), 2*d+reconnect)
			s.note("cable out", "")
			lasting.Go(func() {
				for _, proxy := range s.network.slots[slot] {
					proxy.Pause()
				}
				sleep(ctx, 2*d)
				for _, proxy := range s.network.slots[slot] {
					proxy.Resume()
				}
			})
		}
	}
}

// sleep reports false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// toServers sends a control command to every server that is up. One that isn't
// has trouble enough.
func (s *soak) toServers(what string, args ...string) {
	s.control.Lock() // it may end the connections of others who control the servers
	defer s.control.Unlock()
	s.note(what, "")
	for _, addr := range s.scenario.servers() {
		_, _ = command(addr, args...)
	}
}

// command runs one control command.
func command(addr string, args ...string) (any, error) {
	conn, err := redistest.Dial(addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do(args...)
}

// reconnect is how long a client may take to come back to a server that is there
// again.
const reconnect = 2 * time.Second

// alivePeriod is how often the parent asks the servers whether they are there.
const alivePeriod = 100 * time.Millisecond

// probe notes whenever all servers have answered a write soon, be it with an
// error, until ctx ends.
func (s *soak) probe(ctx context.Context) {
	for sleep(ctx, alivePeriod) {
		began := time.Now()
		well := true
		for _, addr := range s.scenario.servers() {
			_, err := command(addr, "SET", "probe", "probe", "PX", "1000")
			var reply redistest.ReplyError
			well = well && (err == nil || errors.As(err, &reply))
		}
		if well && time.Since(began) < 2*alivePeriod {
			s.log.add(event{Kind: evAlive})
		}
	}
}

// silent notes that a worker (0: all) may hear nothing from the store for d.
func (s *soak) silent(worker int, d time.Duration) {
	at := now()
	s.log.add(event{Kind: evSilent, At: at, Worker: worker, Until: at + int64(d)})
}

func (s *soak) note(what, err string) { s.log.add(event{Kind: evNote, What: what, Err: err}) }

// calm ends what the proxies still hold back.
func (s *soak) calm() {
	var delivering sync.WaitGroup
	s.network.each(func(p *faults.Proxy) {
		delivering.Go(p.DeliverLate)
	})
	delivering.Wait()
	s.network.each((*faults.Proxy).CutAll)
}
