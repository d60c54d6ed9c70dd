package linearizability_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/conformance/linearizability"
	"github.com/reprise-go/reprise/internal/redistest"
)

// TestAClockThatTheTestMoves has a store whose time passes only by Advance.
func TestAClockThatTheTestMoves(t *testing.T) {
	mini := redistest.Mini(t)
	h := conformance.Harness{
		Open: func(tb testing.TB) func() backend.Backend {
			prefix := redistest.Prefix(tb)
			return func() backend.Backend {
				client := redislib.NewClient(&redislib.Options{Addr: mini.Addr(), MaxRetries: -1, PoolSize: 8})
				store, err := goredis.New(client, goredis.Options{Prefix: prefix})
				if err != nil {
					tb.Fatal(err)
				}
				tb.Cleanup(func() {
					store.Close()
					client.Close()
				})
				return store
			}
		},
		Advance: mini.FastForward,
	}
	t.Log(linearizability.Check(t, h, linearizability.Options{Keys: 15}))
}

func TestMemoryInRealTime(t *testing.T) {
	t.Log(linearizability.Check(t, conformance.Harness{Open: inMemory, Lease: 30 * time.Millisecond}, linearizability.Options{Keys: 60, Parallel: 30}))
}

// TestTheFaultsAreTheOptions counts what was chosen.
func TestTheFaultsAreTheOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		report := linearizability.Check(t, conformance.Harness{Open: inMemory}, linearizability.Options{
			Keys: 4, Actors: 1, Parallel: 1, Faults: func(random *rand.Rand, call faults.Call) faults.Fault {
				calls++
				if call.Verb == faults.Commit {
					return faults.LoseReply
				}
				return faults.NotApplied
			},
		})
		if calls == 0 || report.Unknown == 0 || report.Unknown > 4*5 {
			t.Errorf("%d calls, %v", calls, report)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		report := linearizability.Check(t, conformance.Harness{Open: inMemory}, linearizability.Options{Keys: 10, Faults: linearizability.NoFaults})
		if report.Unknown != 0 || report.Operations < 300 {
			t.Error(report)
		}
	})
}

// TestASeedMakesTheSameRun has one actor, whose goroutine nobody gets in the way
// of.
func TestASeedMakesTheSameRun(t *testing.T) {
	run := func(seed uint64) (said string) {
		synctest.Test(t, func(t *testing.T) {
			_, said = caught(t, withBug("a commit drops the fingerprint"), linearizability.Options{
				Seed: seed, Keys: 50, Actors: 1, Parallel: 1, Dir: t.TempDir(),
			})
		})
		said, _, _ = strings.Cut(said, "picture:")
		return said
	}
	first := run(7)
	if again := run(7); again != first || first == "" {
		t.Errorf("the same seed says\n%s\nand\n%s", first, again)
	}
	if other := run(8); other == first {
		t.Error("another seed says the same")
	}
}

func TestSeedOfTheEnvironment(t *testing.T) {
	t.Setenv("REPRISE_LINEARIZABILITY_SEED", "77")
	synctest.Test(t, func(t *testing.T) {
		if report := linearizability.Check(t, conformance.Harness{Open: inMemory}, linearizability.Options{Keys: 1}); report.Seed != 77 {
			t.Error(report)
		}
	})
}

// TestPicture looks for what is left of an illegal history.
func TestPicture(t *testing.T) {
	for name, set := range map[string]func(t *testing.T, dir string, o *linearizability.Options){
		"option": func(t *testing.T, dir string, o *linearizability.Options) { o.Dir = dir },
		"environment": func(t *testing.T, dir string, o *linearizability.Options) {
			t.Setenv("REPRISE_LINEARIZABILITY_DIR", dir)
		},
		"artifacts": func(*testing.T, string, *linearizability.Options) {},
	} {
		t.Run(name, func(t *testing.T) {
			dir, o := filepath.Join(t.TempDir(), "made"), linearizability.Options{Keys: 100, Seed: 1}
			set(t, dir, &o)
			if name == "artifacts" {
				dir = t.ArtifactDir()
			}
			var said string
			l := &listener{TB: t}
			linearizability.Check(l, withBug("commits compare no token"), o)
			said = l.said()
			pictures, _ := filepath.Glob(filepath.Join(dir, "*.html"))
			texts, _ := filepath.Glob(filepath.Join(dir, "*.txt"))
			if len(pictures) != 1 || len(texts) != 1 || !strings.Contains(said, pictures[0]) {
				t.Fatalf("%v, %v\n%s", pictures, texts, said)
			}
			page, err := os.ReadFile(pictures[0])
			if err != nil || !strings.Contains(string(page), "<html") || !strings.Contains(string(page), "complete by") {
				t.Errorf("%d bytes, %v", len(page), err)
			}
			text, err := os.ReadFile(texts[0])
			if err != nil || !strings.Contains(string(text), "The whole history") {
				t.Errorf("%d bytes, %v", len(text), err)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for field, o := range map[string]linearizability.Options{
		"Keys": {Keys: -1}, "Parallel": {Parallel: -1}, "Actors": {Actors: 65}, "Operations": {Operations: 1001},
		"Processes": {Processes: -1}, "Unknown": {Unknown: 17}, "Resends": {Resends: 4}, "Duration": {Duration: -1},
		"Tolerance": {Tolerance: time.Hour}, "Timeout": {Timeout: -1},
	} {
		if said := refusedBy(t, func(tb testing.TB) { linearizability.Check(tb, conformance.Harness{Open: inMemory}, o) }); !strings.Contains(said, "Options."+field+" is") {
			t.Errorf("%s: it says %q", field, said)
		}
		if said := refusedBy(t, func(tb testing.TB) { linearizability.NewRecorder(tb, o) }); !strings.Contains(said, "Options."+field+" is") {
			t.Errorf("%s of a Recorder: it says %q", field, said)
		}
	}
	if said := refusedBy(t, func(tb testing.TB) { linearizability.Check(tb, conformance.Harness{}, linearizability.Options{}) }); !strings.Contains(said, "Harness.Open is nil") {
		t.Errorf("it says %q", said)
	}
}

// refusedBy runs what ends its test, and returns what it says.
func refusedBy(t *testing.T, do func(testing.TB)) string {
	r := &refused{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(r)
	}()
	<-done
	return r.said
}

type refused struct {
	testing.TB
	said string
}

func (r *refused) Helper() {}

func (r *refused) Fatal(args ...any) {
	r.said = fmt.Sprint(args...)
	runtime.Goexit()
}
