package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/idempotency/consumer"
	"github.com/reprise-go/reprise/internal/redistest"
)

// asProgram makes the test binary the program itself: with -race, its processes
// look for races too.
const asProgram = "STREAMS_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func TestExample(t *testing.T) {
	for name, addr := range map[string]func(testing.TB) string{
		"embedded": func(testing.TB) string { return "" },
		"redis":    redistest.Address,
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			// Without GORACE each of its processes sleeps for a second before it ends.
			cmd.Env = append(os.Environ(), asProgram+"=1", "REPRISE_REDIS_ADDR="+addr(t), "GORACE=atexit_sleep_ms=0")
			cmd.WaitDelay = 10 * time.Second // for children that hold its output
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil || !strings.Contains(string(out), "check passed") || strings.Contains(string(out), "DATA RACE") {
				t.Errorf("exit: %v", err)
			}
			for _, line := range []string{"workers killed          4", "exhausted               2", "invalid                 1"} {
				if !strings.Contains(string(out), line) {
					t.Errorf("no line %q", line)
				}
			}
		})
	}
}

// rig is a group with its orders, whose workers run in the test.
type rig struct {
	t      *testing.T
	client *redislib.Client
	prefix string
	ledger *ledger

	mu       sync.Mutex
	verdicts map[string][]consumer.Reason // by order
}

func newRig(t *testing.T, addr string) *rig {
	r := &rig{t: t, client: newRedisClient(addr), prefix: redistest.Prefix(t), verdicts: map[string][]consumer.Reason{}}
	r.ledger = &ledger{r.client, r.prefix + "ledger"}
	t.Cleanup(func() {
		forget(r.client, r.prefix)
		r.client.Close()
	})
	if err := groupOf(r.prefix).create(t.Context(), r.client); err != nil {
		t.Fatal(err)
	}
	return r
}

// worker starts a worker, which ends with ctx or with the test.
func (r *rig) worker(ctx context.Context, name string, chaos func(context.Context, Order, bool)) (stop func()) {
	r.t.Helper()
	store, err := goredis.New(r.client, goredis.Options{Prefix: r.prefix})
	if err != nil {
		r.t.Fatal(err)
	}
	orders, executor, err := newOrders(store, "orders", r.ledger, chaos)
	if err != nil {
		r.t.Fatal(err)
	}
	w := &worker{
		client: r.client, group: groupOf(r.prefix), name: name, idle: 200 * time.Millisecond, handle: orders.Handle,
		decided: func(order Order, verdict consumer.Verdict) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.verdicts[order.ID] = append(r.verdicts[order.ID], verdict.Reason)
		},
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
		drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := executor.Drain(drain); err != nil {
			r.t.Error(err)
		}
		store.Close()
	})
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) add(orders ...Order) {
	r.t.Helper()
	for _, o := range orders {
		values := []string{"id", o.ID, "amount", o.Amount, "plan", string(o.Plan)}
		if err := r.client.XAdd(r.t.Context(), &redislib.XAddArgs{Stream: groupOf(r.prefix).stream, Values: values}).Err(); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) reasons(order string) []consumer.Reason {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]consumer.Reason(nil), r.verdicts[order]...)
}

func (r *rig) await(what string, holds func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("never: %s; verdicts: %v", what, r.verdicts)
		}
	}
}

func (r *rig) awaitDone() {
	r.t.Helper()
	r.await("nothing is pending", func() bool { return allDone(r.t.Context(), r.client, groupOf(r.prefix)) })
}

func (r *rig) booked(id string) string { return r.client.HGet(r.t.Context(), r.ledger.key, id).Val() }

func everyServer(t *testing.T, test func(t *testing.T, addr string)) {
	t.Run("miniredis", func(t *testing.T) {
		mini := redistest.Mini(t)
		redistest.Tick(t, mini)
		test(t, mini.Addr())
	})
	t.Run("redis", func(t *testing.T) { test(t, redistest.Address(t)) })
}

func calm(context.Context, Order, bool) {}

// A slow worker keeps its order: another one that takes the message over finds it
// in progress, comes back, and finds it booked.
func TestSlowWorker(t *testing.T) {
	everyServer(t, func(t *testing.T, addr string) {
		r := newRig(t, addr)
		release, busy := make(chan struct{}), make(chan struct{})
		r.worker(t.Context(), "slow", func(_ context.Context, _ Order, booked bool) {
			if !booked {
				close(busy)
				<-release
			}
		})
		r.add(Order{ID: "a", Amount: "1"})
		<-busy
		r.worker(t.Context(), "quick", calm)
		r.await("the other worker meets the order", func() bool { return len(r.reasons("a")) >= 2 })
		for _, reason := range r.reasons("a") {
			if reason != consumer.InProgress {
				t.Errorf("%s while it was in progress", reason)
			}
		}
		close(release)
		r.awaitDone()
		if n := r.booked("a"); n != "1" {
			t.Errorf("booked %s times", n)
		}
	})
}

// A worker that is told to stop gives its order back, and another one has it.
func TestShutdown(t *testing.T) {
	everyServer(t, func(t *testing.T, addr string) {
		r := newRig(t, addr)
		busy := make(chan struct{})
		var once sync.Once
		stop := r.worker(t.Context(), "stopping", func(ctx context.Context, _ Order, booked bool) {
			if !booked {
				once.Do(func() { close(busy) })
				<-ctx.Done()
			}
		})
		r.add(Order{ID: "a", Amount: "1"}, Order{ID: "b", Amount: "2"})
		<-busy
		stop()
		r.worker(t.Context(), "next", calm)
		r.awaitDone()
		for _, id := range []string{"a", "b"} {
			if n := r.booked(id); n != "1" {
				t.Errorf("%s was booked %s times, verdicts %v", id, n, r.reasons(id))
			}
		}
	})
}

// The same order in two entries, and another order under the same id.
func TestDuplicates(t *testing.T) {
	everyServer(t, func(t *testing.T, addr string) {
		r := newRig(t, addr)
		r.add(Order{ID: "a", Amount: "1"}, Order{ID: "a", Amount: "1"}, Order{ID: "a", Amount: "9"}, Order{ID: "b", Amount: "x"})
		r.worker(t.Context(), "w", calm)
		r.awaitDone()
		if n := r.booked("a"); n != "1" {
			t.Errorf("booked %s times", n)
		}
		// A worker tells its verdict after the entry is acknowledged.
		const want = "[handled duplicate mismatch] [failed]"
		got := ""
		for end := time.Now().Add(10 * time.Second); got != want; time.Sleep(time.Millisecond) {
			if got = fmt.Sprint(r.reasons("a"), r.reasons("b")); got != want && time.Now().After(end) {
				t.Fatalf("verdicts %s", got)
			}
		}
		dead, err := r.client.XRange(t.Context(), groupOf(r.prefix).deadLetters, "-", "+").Result()
		if err != nil || len(dead) != 2 || dead[0].Values["message:amount"] != "9" || dead[0].Values["reason"] != "mismatch" {
			t.Errorf("%v, %v", dead, err)
		}
	})
}

// The check finds what it is there for.
func TestCheck(t *testing.T) {
	good := result{booked: map[string]string{}}
	for _, p := range plans {
		for i := range p.orders {
			id := fmt.Sprintf("order-%s-%d", p.plan, i)
			if p.booked {
				good.booked[id] = "1"
			}
		}
	}
	good.dead = []string{": invalid", "order-bad-amount-0: failed", "order-bad-amount-1: failed", "order-bad-amount-2: failed", "order-panics-0: exhausted", "order-panics-1: exhausted"}
	if wrong := check(good); len(wrong) != 0 {
		t.Fatal(wrong)
	}
	good.booked["order--0"] = "2"
	good.dead = good.dead[1:]
	if wrong := check(good); len(wrong) != 2 {
		t.Error(wrong)
	}
}
