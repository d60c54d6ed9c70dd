//go:build unix

package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// The rules for what is left when all workers have ended.
const (
	ruleConnections = "no connection is left"
	ruleTTL         = "every key ends"
	ruleBlocked     = "a dead holder blocks for one lease"
)

func (s *soak) violated(rule, key, format string, args ...any) {
	s.found = append(s.found, violation{rule: rule, key: key, text: fmt.Sprintf(format, args...)})
}

// rest looks at what the workers left, once none of them runs, and decides on the
// keys for which a person has to. It reports whether all is well.
func (s *soak) rest(round int) bool {
	s.calm()
	s.connectionsGone()
	s.keysEnd()
	if err := s.decide(round); err != nil {
		s.violated("parent", "", "%v", err)
	}
	return s.well()
}

// others are marks of connections that no worker made: the one that asks, those of
// sentinels, replicas and masters, and those that MIGRATE keeps for ten seconds.
var others = []string{" cmd=client|list ", " name=sentinel-", " flags=S", " flags=M", " cmd=restore"}

// connectionsGone: no server has a client of a worker left.
func (s *soak) connectionsGone() {
	for _, addr := range s.scenario.servers() {
		var left []string
		err := s.eventually("without clients", func() bool {
			left = nil
			reply, err := command(addr, "CLIENT", "LIST")
			if err != nil {
				left = []string{err.Error()}
				return false
			}
			for line := range strings.Lines(reply.(string)) {
				if !slices.ContainsFunc(others, func(mark string) bool { return strings.Contains(line, mark) }) {
					left = append(left, line)
				}
			}
			return len(left) == 0
		})
		if err != nil {
			s.violated(ruleConnections, "", "%s still has\n%s", addr, strings.Join(left, ""))
		}
	}
}

// endless finds keys without a TTL. It scans in one script: the number of keys is
// known to be small enough.
const endless = `local found, cursor = {}, '0'
repeat
	local reply = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
	cursor = reply[1]
	for _, key in ipairs(reply[2]) do
		if redis.call('PTTL', key) == -1 then table.insert(found, key) end
	end
until cursor == '0'
return found`

func (s *soak) keysEnd() {
	for _, addr := range s.scenario.masters() {
		reply, err := command(addr, "EVAL", endless, "0", prefix+"*")
		if err != nil {
			s.violated(ruleTTL, "", "%s: %v", addr, err)
			continue
		}
		for _, key := range reply.([]any) {
			s.violated(ruleTTL, "", "%q at %s has no TTL", key, addr)
		}
	}
}

// parent is the executor of the parent, which stands for a person with tools.
func (s *soak) parent(ctx context.Context) (w *worker, closeAll func(), err error) {
	w = &worker{config: s.config(0, "goredis"), log: s.log, ledger: &ledger{dir: s.dir}, crash: newCrasher(crash{}, s.log)}
	connected, closeAll, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w, closeAll, w.declare(&recorder{store: connected, log: s.log, crash: w.crash})
}

// decide waits until no dead worker blocks a key any more, which it may do for one
// lease, and forgets or resolves some of the keys that wait for a person.
func (s *soak) decide(round int) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	w, closeAll, err := s.parent(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	for _, key := range s.unfinished() {
		var info idempotency.Info
		asked := 0
		err := s.eventually("free", func() bool {
			var err error
			info, err = w.executor.Lookup(ctx, key)
			if err != nil && ctx.Err() == nil {
				return false
			}
			if asked++; info.LeaseLeft > s.times.Lease {
				s.violated(ruleBlocked, key, "its lease runs for another %v, more than a lease of %v", info.LeaseLeft, s.times.Lease)
			}
			return ctx.Err() != nil || info.State != backend.Claimed
		})
		if err != nil || ctx.Err() != nil {
			s.violated(ruleBlocked, key, "it is held although nobody runs: %+v %v", info, errors.Join(err, ctx.Err()))
			continue
		}
		if info.State != backend.Abandoned || policyOf(key) != policyFail {
			continue
		}
		switch (int(hashOf(key)) + round) % 3 {
		case 0:
			s.log.add(event{Kind: evForget, Key: key})
			if err := w.executor.Forget(ctx, key); err != nil {
				return fmt.Errorf("forget: %w", err)
			}
		case 1:
			w.resolve(key)
		}
	}
	return nil
}

// unfinished are the keys that somebody claimed and of which no outcome is known.
func (s *soak) unfinished() []string {
	s.well()
	found := map[string]bool{}
	for name, k := range s.checker.keys {
		if name != fmt.Sprintf("%s#%d", k.key, s.checker.epochs[k.key]) || len(k.answers) > 0 {
			continue
		}
		for _, cl := range k.claims {
			if cl.granted {
				found[k.key] = true
			}
		}
	}
	return slices.Sorted(keysOf(found))
}

// sweepKeys is how many keys are called once more in the end.
const sweepKeys = 4000

// sweep calls the keys once more, from a worker to which nothing happens: the
// outcomes are still there, and what has none gets one.
func (s *soak) sweep() {
	keys := s.unfinished()
	rest := map[string]bool{}
	for _, k := range s.checker.keys {
		rest[k.key] = true
	}
	for key := range rest {
		if len(keys) >= sweepKeys {
			break
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	clients := clientsOf(s.scenario.kind())
	c := s.config(1<<20, clients[s.options.seed%uint64(len(clients))])
	c.Sweep = filepath.Join(s.dir, "sweep.txt")
	if err := os.WriteFile(c.Sweep, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		s.violated("parent", "", "%v", err)
		return
	}
	p, err := startWorker(c)
	if err != nil {
		s.violated("parent", "", "%v", err)
		return
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Minute):
		s.violated(ruleSettles, "", "the sweep doesn't end")
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
	_ = p.stdin.Close()
	if text := p.failure(); text != "" {
		s.violated("workers", "", "%s", text)
	}
	s.connectionsGone()
	s.keysEnd()
	s.well()
}

// enough is how long a load lasts in which everything happens at least once.
const enough = time.Minute

// proves fails a soak in which nothing happened: it would find nothing.
func (s *soak) proves(length time.Duration) {
	counts := &s.checker.counts
	happened := map[string]int{
		"an action that ran": counts.runs, "a replay": counts.ways["replayed"], "a value": counts.outcomes[gotValue],
		"an error as an answer": counts.outcomes[gotError], "a released key": counts.outcomes[gotReleased],
		"a later attempt": counts.takeovers,
	}
	if length >= enough {
		for _, point := range crashPoints {
			happened["a crash "+point] = counts.crashes[point]
		}
		happened["a worker killed"], happened["a worker stopped"] = counts.kills, counts.stops
		happened["a call that waited for another process"] = counts.ways["waited"]
		happened["an abandoned key"] = counts.outcomes[gotAbandoned]
	}
	for what, times := range happened {
		if times == 0 {
			s.violated("it was a soak", "", "there was not once %s", what)
		}
	}
}
