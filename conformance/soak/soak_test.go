//go:build unix

package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(workerEnv); text != "" {
		os.Exit(runWorker(text))
	}
	goleak.VerifyTestMain(m)
}

const (
	soakEnv    = "REPRISE_SOAK"
	seedEnv    = "REPRISE_SOAK_SEED"
	mutantsEnv = "REPRISE_SOAK_MUTANTS"

	standardLength = 12 * time.Second // of all scenarios together
	shortLength    = 4 * time.Second  // with go test -short
	roundLength    = 15 * time.Second
	slots          = 4
	callers        = 8
)

// soakLength is how long the load of each of n scenarios lasts.
func soakLength(t *testing.T, n int) time.Duration {
	t.Helper()
	total := standardLength
	if testing.Short() {
		total = shortLength
	}
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if total, err = time.ParseDuration(text); err != nil || total <= 0 {
			t.Fatalf("%s is %q, want a duration", soakEnv, text)
		}
	}
	return total / time.Duration(n)
}

func soakSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedEnv)
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s is %q, want a number", seedEnv, text)
	}
	return seed
}

var usualTimes = times{
	Lease: 500 * time.Millisecond, Wait: 8 * time.Second, Call: 10 * time.Second, Slack: 10 * time.Second, Wake: 3 * time.Second,
}

// Worker processes run, crash, stop and lose replies; servers are killed, fail
// over and move slots. What every caller got must be the key's one answer all the
// same.
func TestSoak(t *testing.T) {
	scenarios := map[string]func(t *testing.T) scenario{
		"AOF_always":   func(t *testing.T) scenario { return startSingle(t, "always") },
		"AOF_everysec": func(t *testing.T) scenario { return startSingle(t, "everysec") },
		"Sentinel":     func(t *testing.T) scenario { return startReplicated(t) },
		"Cluster":      func(t *testing.T) scenario { return &moving{cluster: redistest.StartCluster(t, 3)} },
	}
	seed := soakSeed(t)
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSoak(t, scenarios[name](t), options{seed: seed, faults: 0.01, network: 0.006, times: usualTimes})
			s.run(soakLength(t, len(scenarios)))
		})
	}
}

func newRandom(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }

// options is how a soak is run.
type options struct {
	seed    uint64
	faults  float64 // share of verbs that are broken in the workers
	network float64 // share of requests that are broken on the way
	times   times
	mutant  string // the bug that every worker's backend has
}

// soak is one scenario's run.
type soak struct {
	t        *testing.T
	options  options
	times    times
	scenario scenario
	dir      string
	start    int64
	log      *journal
	network  *network
	fleet    *fleet
	control  sync.Mutex // held by whoever moves servers about

	collecting sync.Mutex
	tails      []*tail
	checker    *checker
	found      []violation
	told       bool // found is in the test's output
}

func newSoak(t *testing.T, sc scenario, o options) *soak {
	t.Helper()
	dir, err := os.MkdirTemp("", "reprise-soak-")
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, options: o, times: o.times, scenario: sc, dir: dir, start: now(), checker: newChecker(o.times)}
	if s.log, err = openJournal(filepath.Join(dir, journalName), 0); err != nil {
		t.Fatal(err)
	}
	s.tails = append(s.tails, &tail{path: filepath.Join(dir, journalName)})
	for i := range ledgerFiles {
		s.tails = append(s.tails, &tail{path: ledgerPath(dir, i)})
	}
	// Crashes go through the points in an order of the seed, so that each has its
	// turn.
	plans := rand.New(rand.NewPCG(o.seed, 2))
	var points []string
	var planning sync.Mutex
	clients := clientsOf(sc.kind())
	s.fleet = &fleet{log: s.log, plan: func(slot, id int) config {
		planning.Lock()
		defer planning.Unlock()
		c := s.config(id, clients[(slot+id)%len(clients)])
		c.Seed, c.Routes = plans.Uint64(), s.network.routes[slot]
		c.Faults, c.Mutant = o.faults, o.mutant
		if len(points) == 0 {
			points = slices.Clone(crashPoints)
			plans.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		}
		if plans.IntN(5) > 0 {
			c.Crash.Point, points = points[0], points[1:]
			c.Crash.Nth = 1 + plans.IntN(crashWithin[c.Crash.Point])
		}
		return c
	}}
	s.network, err = openNetwork(sc.servers(), slots, o.network, o.times.Lease, o.seed, func(slot int) {
		s.silent(s.fleet.in(slot), silence)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.fleet.stop()
		if t.Failed() && !s.told { // a server did not do what it was told
			s.well()
			s.report()
		}
		s.network.close()
		s.log.close()
		if !t.Failed() {
			os.RemoveAll(dir)
		}
	})
	return s
}

// crashWithin is after how many visits of a point a crash comes at the latest:
// some are seldom visited.
var crashWithin = map[string]int{
	"before claim": 20, "claim in flight": 20, "claim applied": 12, "before effect": 8, "after effect": 8,
	"before commit": 12, "commit in flight": 12, "commit applied": 12, "answered": 50, "waiting": 4, "renewing": 2, "reconciling": 1,
}

func (s *soak) config(id int, client string) config {
	return config{
		ID: id, Client: client, Kind: s.scenario.kind(), Addrs: s.scenario.addrs(), Prefix: prefix, Dir: s.dir,
		Start: s.start, Pace: pace{Fresh: int64(10 * time.Millisecond), Hot: int64(250 * time.Millisecond)},
		Times: s.times, Callers: callers,
	}
}

// run puts a load on the store for some time, in rounds, and looks after each
// what is left.
func (s *soak) run(length time.Duration) {
	s.t.Helper()
	s.t.Logf("seed %d: %s=%d %s=%v replays it as far as scheduling allows; logs in %s", s.options.seed, seedEnv, s.options.seed, soakEnv, os.Getenv(soakEnv), s.dir)
	random := newRandom(s.options.seed)
	rounds := max(1, int(length/roundLength))
	for i := range rounds {
		if !s.load(length/time.Duration(rounds), random) || !s.rest(i) {
			break
		}
	}
	if len(s.found) == 0 {
		s.note("the sweep begins", "")
		s.sweep()
	}
	if len(s.found) == 0 {
		s.proves(length)
	}
	s.checker.counts.commands = int(s.network.commands.Load())
	s.t.Logf("%s\n%s", s.t.Name(), s.checker.counts.summary())
	s.report()
}

// load runs the workers and everything that happens to them. It reports whether
// all is well.
func (s *soak) load(length time.Duration, random *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	s.fleet.run(slots)
	var others sync.WaitGroup
	disturbing := rand.New(rand.NewPCG(random.Uint64(), 0))
	others.Go(func() { s.disturb(ctx, disturbing) })
	probing, stopProbing := context.WithCancel(s.t.Context())
	defer stopProbing()
	var prober sync.WaitGroup
	prober.Go(func() { s.probe(probing) })
	others.Go(func() {
		for sleep(ctx, 250*time.Millisecond) {
			if !s.well() {
				cancel()
			}
		}
	})
	s.scenario.act(ctx, s, random)
	others.Wait()
	s.note("the load ends", "")
	s.fleet.stop()
	s.note("all workers have ended", "")
	stopProbing()
	prober.Wait()
	return s.well()
}

// well reads what is new in the logs and holds it against the invariants.
func (s *soak) well() bool {
	s.collecting.Lock()
	defer s.collecting.Unlock()
	// The journal comes first: an answer that it has is in the ledger by then.
	for _, t := range s.tails {
		err := t.lines(func(line []byte) error {
			e, err := parseEvent(line)
			if err == nil {
				s.checker.add(e)
			}
			return err
		})
		if err != nil {
			s.found = append(s.found, violation{rule: "log", text: err.Error()})
		}
	}
	s.found = append(s.found, s.checker.check()...)
	if text := s.fleet.trouble(); text != "" {
		s.found = append(s.found, violation{rule: "workers", text: text})
	}
	return len(s.found) == 0
}

// eventually waits until it holds.
func (s *soak) eventually(what string, holds func() bool) error {
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("still not %s", what)
		}
	}
	return nil
}
