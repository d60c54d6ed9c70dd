package interop

import (
	"context"
	"flag"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

var (
	allRules = flag.Bool("all-rules", false, "run the whole suite against every wrong backend and print the rules that catch it")
	proof    = flag.Bool("proof", false, "run the whole suite 20 times against every right backend")
)

// wrong is a Redis backend with a bug on the wire: in what is sent, in a script,
// in what is made of a reply, or in the connection.
type wrong struct {
	bug   string
	rules []string // that must catch it
	hook  redislib.Hook
	wrap  func(backend.Backend) backend.Backend
	cut   bool // needs a server of its own, whose connections are cut
}

// edit is a bug in a script.
func edit(t *testing.T, source string, changes ...string) redislib.Hook {
	t.Helper()
	broken := source
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(broken, changes[i]) {
			t.Fatalf("the script has no %q any more", changes[i])
		}
		broken = strings.ReplaceAll(broken, changes[i], changes[i+1])
	}
	sha := redislib.NewScript(source).Hash()
	return commands{before: func(args []any) {
		switch {
		case len(args) > 2 && args[0] == "evalsha" && args[1] == sha:
			args[0], args[1] = "eval", broken
		case len(args) > 2 && args[0] == "eval" && args[1] == source:
			args[1] = broken
		}
	}}
}

func wrongBackends(t *testing.T) []wrong {
	const otherToken = "sub(f, 3, 18) ~= sub(mine, 3, 18)"
	return []wrong{
		{bug: "the claim script takes live leases", rules: []string{"TakeOver/NeverALiveLease", "TakeOver/NeverARevivedLease"},
			hook: edit(t, wire.ClaimScript, "local live = state == 1 and ttl > number(sub(f, 33, 37))", "local live = false")},
		{bug: "the claim script doesn't compare Seen", rules: []string{"TakeOver/OnlyTheAttemptSeen", "TakeOver/LateDuplicateTakesNothing"},
			hook: edit(t, wire.ClaimScript, "or sub(f, 23, 29) ~= seen ", "")},
		{bug: "a takeover keeps the attempt", rules: []string{"TakeOver/ByTheFenceSeen", "Claim/AttemptAndFenceGrow"},
			hook: edit(t, wire.ClaimScript, "number(sub(f, 19, 22)) + 1", "number(sub(f, 19, 22))")},
		{bug: "a renewal doesn't set the TTL", rules: []string{"Renewal/SetsTheLease", "Claim/RepeatedSendSetsTheLease"},
			hook: edit(t, wire.ClaimScript, "redis.call('PEXPIRE', key, format('%.0f', ttl))", "")},
		{bug: "late renewals shorten the retention", rules: []string{"Renewal/NeverReopensACompletedKey", "Lifetime/LateSendsDontMoveTheEnd"},
			hook: edit(t, wire.ClaimScript, "  if state == 1 then\n    ttl = lease + number(sub(f, 33, 37))", "  if true then\n    ttl = lease + (state == 1 and number(sub(f, 33, 37)) or 0)")},
		{bug: "the commit script compares no token", rules: []string{"Commit/NotTheHolder", "TakeOver/FencesTheOldHolder"},
			hook: edit(t, wire.CommitScript, "if "+otherToken+" then return 0 end", "")},
		{bug: "large outcomes aren't fenced", rules: []string{"Commit/LargeOutcomeIsFenced"},
			hook: edit(t, wire.CommitLargeScript, otherToken+" or state == 0", "state == 0")},
		{bug: "the side key has no token and is sent ahead", rules: []string{"Concurrency/OneOutcomeWins"}, hook: sharedSide{}},
		{bug: "the commit drops the PX", rules: []string{"Fetch/Completed", "Lifetime/RetentionEnds"},
			hook: edit(t, wire.CommitScript, "redis.pcall('SET', key, frame, 'PX', ARGV[2])", "redis.pcall('SET', key, frame)")},
		{bug: "the first outcome doesn't win", rules: []string{"Commit/FirstOutcomeWins", "Concurrency/OneOutcomeWins"},
			hook: edit(t, wire.CommitScript, "if state == 3 then", "if state == 3 and ending ~= 3 then")},
		{bug: "a release deletes", rules: []string{"Release/KeepsAttemptAndFence", "Release/BeforeLateClaim"},
			hook: edit(t, wire.CommitScript, "local function store(frame, known)", "local function store(frame, known)\n  if ending == 0 then redis.call('DEL', key) redis.call(ARGV[3], key, '') return 1 end")},
		{bug: "no push", rules: []string{"Wait/WakesOnComplete", "Wait/WakesOnRelease", "Wait/WakesOnAbandon"},
			hook: edit(t, wire.CommitScript, "redis.pcall(ARGV[3], key, message)", "")},
		{bug: "no push on release", rules: []string{"Wait/WakesOnRelease", "Wait/WakesAgainAndAgain"},
			hook: edit(t, wire.CommitScript, "redis.pcall(ARGV[3], key, message)", "if ending ~= 0 then redis.pcall(ARGV[3], key, message) end")},
		{bug: "forget doesn't push", rules: []string{"Forget/WakesWaiters"},
			hook: edit(t, wire.ForgetScript, "redis.pcall(ARGV[1], KEYS[1], '')", "")},
		{bug: "a look takes the TTL as the lease", rules: []string{"Fetch/Claimed"},
			hook: edit(t, wire.LookScript, "redis.call('PTTL', KEYS[1])", "redis.call('PTTL', KEYS[1]) + 60000")},
		{bug: "claim by GET, then SET", rules: []string{"Concurrency/OneClaimWins"}, hook: &getThenSet{claims: true}},
		{bug: "commit by GET, then SET", rules: []string{"Concurrency/OneOutcomeWins"}, hook: &getThenSet{}},
		{bug: "the TTL in a second step", rules: []string{"Concurrency/OneClaimWins"}, hook: &secondStep{}},
		{bug: "superseded is read as success", rules: []string{"Commit/NotTheHolder", "Commit/FirstOutcomeWins"},
			hook: commands{after: supersededIsSuccess}},
		{bug: "reads by a cache", rules: []string{"Fetch/IsNeverStale"}, hook: &staleLooks{replies: map[string]any{}}},
		{bug: "wake-ups are swallowed", rules: []string{"Wait/WakesOnComplete", "Wait/CommitBetweenLookAndSleep"},
			hook: connections(func(c net.Conn) net.Conn { return &deafConn{Conn: c} })},
		{bug: "a lost connection is hidden", cut: true, rules: []string{"Disconnect/WaitersLookAgain"},
			hook: connections(func(c net.Conn) net.Conn { return &hidingConn{Conn: c, closed: make(chan struct{})} })},
		{bug: "a failure is an unknown key", cut: true, rules: []string{"Silence/VerbsReturnWithinTheirCtx"},
			wrap: func(b backend.Backend) backend.Backend { return absent{b.(*goredis.Backend)} }},
		{bug: "a failure is not acquired", cut: true, rules: []string{"Silence/VerbsReturnWithinTheirCtx"},
			wrap: func(b backend.Backend) backend.Backend { return notAcquired{b.(*goredis.Backend)} }},
		{bug: "nobody knows is not applied", cut: true, rules: []string{"Silence/NotAppliedIsCertain"},
			wrap: func(b backend.Backend) backend.Backend { return sureOfFailure{b.(*goredis.Backend)} }},
		{bug: "a corrupt record is unknown", cut: true, rules: []string{"Corrupt/RefusedByEveryVerb"},
			wrap: func(b backend.Backend) backend.Backend { return corruptIsUnknown{b.(*goredis.Backend)} }},
		{bug: "keys are folded", rules: []string{"Keys/AreDistinct"}, wrap: withKeys(strings.ToLower)},
		{bug: "keys are text", rules: []string{"Keys/AreDistinct", "Keys/AnyByte"},
			wrap: withKeys(func(s string) string { return strings.ToValidUTF8(s, "\ufffd") })},
		{bug: "keys are cut off", rules: []string{"Keys/AreDistinct"},
			wrap: withKeys(func(s string) string { return s[:min(len(s), 255)] })},
	}
}

// harnessOf is the harness of a wrong backend; without a bug of the right one.
func harnessOf(t *testing.T, w wrong) conformance.Harness {
	addr := ""
	var server *redistest.Server
	if w.cut || w.bug == "" {
		server = redistest.Start(t)
		addr = server.Addr()
	} else {
		addr = redistest.Address(t)
	}
	h := conformance.Harness{Open: func(tb testing.TB) func() backend.Backend {
		prefix := redistest.Prefix(tb)
		return func() backend.Backend {
			client := redislib.NewClient(&redislib.Options{Addr: addr, DisableIdentity: true, ReadTimeout: time.Second, DialTimeout: time.Second})
			if w.hook != nil {
				client.AddHook(w.hook)
			}
			store, err := goredis.New(client, goredis.Options{Prefix: prefix})
			if err != nil {
				tb.Fatal(err)
			}
			tb.Cleanup(func() {
				store.Close()
				client.Close()
			})
			if w.wrap != nil {
				return w.wrap(store)
			}
			return store
		}
	}}
	if server != nil {
		h.Corrupt = func(tb testing.TB, key string) {
			for _, name := range server.Do(tb, "KEYS", "*").([]any) {
				if strings.HasSuffix(name.(string), key) {
					server.Do(tb, "SET", name.(string), "no record", "PX", "60000")
				}
			}
		}
		h.Disconnect = func(tb testing.TB) {
			server.Do(tb, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			server.Do(tb, "CLIENT", "KILL", "TYPE", "pubsub")
		}
		h.Silence = func(tb testing.TB) func() {
			server.Pause(tb)
			return func() { server.Resume(tb) }
		}
	}
	return h
}

// TestWrongRedisBackendsAreCaught shows that the suite fails each of them by the
// rules expected, and by all that catch it with -args -all-rules.
func TestWrongRedisBackendsAreCaught(t *testing.T) {
	rules := map[string]conformance.Rule{}
	for _, rule := range conformance.Rules() {
		rules[rule.Name] = rule
	}
	// Most of the time is spent waiting for what doesn't come: more at once than
	// the machine has cores.
	slots := make(chan struct{}, 12)
	var group sync.WaitGroup
	for _, w := range wrongBackends(t) {
		h := harnessOf(t, w)
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, name := range w.rules {
				// A waiter that the machine didn't let fall asleep needs no push, and a
				// race may be missed: a few tries.
				r := observe(t, rules[name], h)
				for try := 0; try < 4 && !r.Failed(); try++ {
					r = observe(t, rules[name], h)
				}
				if !r.Failed() {
					t.Errorf("%s: %s let it through", w.bug, name)
				} else if said := strings.Join(r.messages, "\n"); !strings.Contains(said, "rule "+name+": "+rules[name].Prose) {
					t.Errorf("%s: %s failed by something else than its rule: %s", w.bug, name, said)
				}
			}
			if *allRules {
				var caught []string
				for _, rule := range conformance.Rules() {
					if observe(t, rule, h).Failed() {
						caught = append(caught, rule.Name)
					}
				}
				t.Logf("%s: caught by %d rules: %s", w.bug, len(caught), strings.Join(caught, ", "))
			}
		})
	}
	group.Wait()
}

// TestRightRedisBackendPassesWhereWrongOnesFail keeps the rules above honest.
func TestRightRedisBackendPassesWhereWrongOnesFail(t *testing.T) {
	used := map[string]bool{}
	for _, w := range wrongBackends(t) {
		for _, name := range w.rules {
			used[name] = true
		}
	}
	h := harnessOf(t, wrong{})
	for _, rule := range conformance.Rules() {
		if used[rule.Name] {
			if r := observe(t, rule, h); r.Failed() {
				t.Errorf("%s fails the right backend: %s", rule.Name, r.messages)
			}
		}
	}
}

// TestProof is for the night: -args -proof.
func TestProof(t *testing.T) {
	if !*proof {
		t.Skip("skipped: run with -args -proof")
	}
	each(t, func(t *testing.T, connect connect) {
		for round := range 20 {
			t.Run(fmt.Sprint(round), func(t *testing.T) {
				server := redistest.Start(t)
				conformance.Run(t, conformance.Harness{
					Open: func(tb testing.TB) func() backend.Backend {
						prefix := redistest.Prefix(tb)
						return func() backend.Backend { return connect(tb, server.Addr(), prefix) }
					},
					Disconnect: func(tb testing.TB) {
						server.Do(tb, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
						server.Do(tb, "CLIENT", "KILL", "TYPE", "pubsub")
					},
				})
			})
		}
	})
}

// recorder is a testing.TB that keeps what a rule says to itself.
type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool
	messages []string
	cleanups []func()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Skipf(string, ...any)     { runtime.Goexit() }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	r.messages = append(r.messages, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) FailNow()          { r.Fatalf("failed") }

// observe runs a rule and returns what it said.
func observe(tb testing.TB, rule conformance.Rule, h conformance.Harness) *recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{TB: tb, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			cancel()
			for _, cleanup := range slices.Backward(r.cleanups) {
				cleanup()
			}
		}()
		rule.Run(r, h)
	}()
	<-done
	return r
}
