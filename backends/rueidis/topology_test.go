package rueidis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	clusterOption := rueidislib.ClientOption{InitAddress: cluster.Addrs()}

	t.Run("Conformance", func(t *testing.T) {
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				options := prefixed(tb)
				return func() backend.Backend { return open(tb, clusterOption, options) }
			},
			Disconnect: func(tb testing.TB) {
				for _, addr := range cluster.Addrs() {
					redistest.Do(tb, addr, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
					redistest.Do(tb, addr, "CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
				}
			},
			Silence: func(tb testing.TB) func() {
				for _, node := range cluster.Nodes {
					node.Pause(tb)
				}
				return func() {
					for _, node := range cluster.Nodes {
						node.Resume(tb)
					}
					settle(tb, cluster)
				}
			},
		})
	})
	t.Run("ConformanceNewFromClient", func(t *testing.T) {
		app := client(t, clusterOption)
		conformance.Run(t, conformance.Harness{
			Open: func(tb testing.TB) func() backend.Backend {
				options := prefixed(tb)
				return func() backend.Backend { return fromClient(tb, app, options) }
			},
		})
	})
	t.Run("Hot", func(t *testing.T) {
		options := prefixed(t)
		a, b := open(t, clusterOption, options), open(t, clusterOption, options)
		for i := range 20 {
			key := fmt.Sprint("key ", i)
			complete(t, a, key, "answer")
			for range 3 {
				replay(t, b, key, "answer")
			}
			for _, addr := range cluster.Addrs() {
				if commands := sent(t, addr, func() { replay(t, b, key, "answer") }); len(commands) > 0 {
					t.Fatalf("a hot replay sent %q", commands)
				}
			}
			if err := a.Forget(within(t), key); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the claim after Forget", func() error {
				record, err := b.Claim(t.Context(), key, taking(token()))
				if err == nil && record.State != backend.Claimed {
					err = fmt.Errorf("returned %v", record.State)
				}
				return err
			})
		}
	})
	t.Run("ShardedWakeUps", func(t *testing.T) { shardedWakeUps(t, cluster, clusterOption) })
	t.Run("MovingSlots", func(t *testing.T) { movingSlots(t, cluster, clusterOption) })
	t.Run("StoppedMaster", func(t *testing.T) { stoppedMaster(t, cluster, clusterOption) })
}

// settle waits until every node sees a complete cluster.
func settle(tb testing.TB, cluster *redistest.Cluster) {
	tb.Helper()
	for _, node := range cluster.Nodes {
		eventually(tb, "the state of the cluster", func() error {
			if info := node.Do(tb, "CLUSTER", "INFO").(string); !strings.Contains(info, "cluster_state:ok") {
				return errors.New("is not ok")
			}
			return nil
		})
	}
}

// shardedWakeUps waits on every master, and sees that nothing goes by the
// cluster's bus, nor by more connections than there were.
func shardedWakeUps(t *testing.T, cluster *redistest.Cluster, option rueidislib.ClientOption) {
	options := prefixed(t)
	a, b := open(t, option, options), open(t, option, options)
	var all []*waiters
	holders := map[string]backend.Token{}
	for i := range 30 {
		key := fmt.Sprint("key ", i)
		holders[key] = token()
		take(t, a, key, taking(holders[key]))
	}
	before := 0
	for _, addr := range cluster.Addrs() {
		before += connections(t, addr)
	}
	for key, holder := range holders {
		all = append(all, wait(t, b, key, holder, 3))
	}
	shards := func(want int) {
		t.Helper()
		eventually(t, "the sharded channels", func() error {
			n := 0
			for _, addr := range cluster.Addrs() {
				names, _ := redistest.Do(t, addr, "PUBSUB", "SHARDCHANNELS").([]any)
				n += len(names)
			}
			if n != want {
				return fmt.Errorf("there are %d, want %d", n, want)
			}
			return nil
		})
	}
	shards(30)
	after := 0
	for _, addr := range cluster.Addrs() {
		after += connections(t, addr)
		if n := channels(t, addr, ""); n > 0 {
			t.Errorf("%d plain channels", n)
		}
	}
	if after > before+len(cluster.Nodes) {
		t.Errorf("waiting made %d connections", after-before)
	}
	for key, holder := range holders {
		if err := a.Commit(within(t), key, completing(holder, "answer")); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range all {
		w.woken(t, "answer")
	}
	shards(0)
}

// movingSlots moves the slot of waited and of busy keys to and fro.
func movingSlots(t *testing.T, cluster *redistest.Cluster, option rueidislib.ClientOption) {
	options := prefixed(t)
	layout, err := wire.NewLayout(options.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	a, b := open(t, option, options), open(t, option, options)
	move := func(key string, halfway func()) {
		name := layout.Record(key)
		to := (cluster.Owner(t, name) + 1) % len(cluster.Nodes)
		if halfway != nil {
			cluster.Begin(t, name, to)
			halfway()
		}
		cluster.Move(t, name, to)
	}
	retry := func(what string, call func(ctx context.Context) error) {
		t.Helper()
		eventually(t, what, func() error { return call(t.Context()) })
	}

	t.Run("waiters", func(t *testing.T) {
		holder := token()
		take(t, a, "waited", taking(holder))
		w := wait(t, b, "waited", holder, 5)
		for range 3 {
			move("waited", nil)
		}
		retry("the commit", func(ctx context.Context) error {
			return a.Commit(ctx, "waited", completing(holder, "answer"))
		})
		w.woken(t, "answer")
	})
	t.Run("halfway", func(t *testing.T) {
		for _, outcome := range []string{"small", strings.Repeat("large", 10_000)} {
			old, fresh, holder := fmt.Sprint("old ", len(outcome)), fmt.Sprint("fresh ", len(outcome)), token()
			take(t, a, old, taking(holder))
			move(old, func() {
				retry("the commit of a key that is still there", func(ctx context.Context) error {
					return a.Commit(ctx, old, completing(holder, outcome))
				})
				retry("its replay", func(ctx context.Context) error { return replays(ctx, b, old, outcome) })
			})
			move(fresh, func() {
				request := taking(token())
				retry("the claim of a key that goes to the new node", func(ctx context.Context) error {
					_, err := a.Claim(ctx, fresh, request)
					return err
				})
				retry("its commit", func(ctx context.Context) error {
					return a.Commit(ctx, fresh, completing(request.Token, outcome))
				})
			})
			for _, key := range []string{old, fresh} {
				for range 4 {
					retry("the replay", func(ctx context.Context) error { return replays(ctx, b, key, outcome) })
				}
			}
		}
	})
	t.Run("load", func(t *testing.T) {
		var stop atomic.Bool
		var calls sync.WaitGroup
		var runs atomic.Int64
		for worker := range 8 {
			calls.Go(func() {
				for i := 0; !stop.Load(); i++ {
					key := fmt.Sprintf("load %d %d", worker, i)
					request := taking(token())
					outcome := strings.Repeat("x", 100*(i%200))
					steps := []func() error{
						func() error {
							record, err := a.Claim(t.Context(), key, request)
							if err == nil && record.Token != request.Token {
								t.Errorf("a key of nobody is %x's", record.Token)
							}
							return err
						},
						func() error { return b.Commit(t.Context(), key, completing(request.Token, outcome)) },
						func() error { return replays(t.Context(), a, key, outcome) },
						func() error { return replays(t.Context(), b, key, outcome) },
					}
					for _, step := range steps {
						for deadline := time.Now().Add(20 * time.Second); ; {
							err := step()
							if err == nil {
								break
							}
							if errors.Is(err, backend.ErrSuperseded) || time.Now().After(deadline) {
								t.Errorf("%s: %v", key, err)
								stop.Store(true)
								return
							}
						}
					}
					runs.Add(1)
				}
			})
		}
		for i := range 20 {
			move(fmt.Sprintf("load %d %d", i%8, i*7), nil)
		}
		stop.Store(true)
		calls.Wait()
		if runs.Load() == 0 {
			t.Error("nothing ran")
		}
	})
}

// stoppedMaster pauses a master: its keys fail in time, and work again.
func stoppedMaster(t *testing.T, cluster *redistest.Cluster, option rueidislib.ClientOption) {
	options := prefixed(t)
	layout, err := wire.NewLayout(options.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, option, options)
	holder := token()
	take(t, b, "key", taking(holder))
	answer := make(chan string, 1)
	go func() {
		for {
			// A wait may fail after some seconds without the master.
			record, err := b.Wait(t.Context(), "key", holder)
			if err == nil || t.Context().Err() != nil {
				answer <- string(record.Outcome)
				return
			}
		}
	}()
	owner := cluster.Nodes[cluster.Owner(t, layout.Record("key"))]
	owner.Pause(t)
	resume := sync.OnceFunc(func() { owner.Resume(t) })
	defer resume()
	// Long enough for the others to notice: then the cluster is down.
	eventually(t, "CLUSTERDOWN of the others' keys", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		for i := range 5 {
			_, err := b.Claim(ctx, fmt.Sprint("another key ", i), taking(token()))
			if took := time.Since(begun); took > 3*time.Second {
				t.Fatalf("Claim returned after %v", took)
			}
			var reply *rueidislib.RedisError
			if errors.As(err, &reply) && reply.IsClusterDown() {
				is(t, "Claim in a cluster that is down", err, backend.ErrNotApplied)
				return nil
			}
		}
		return errors.New("not yet")
	})
	resume()
	eventually(t, "the commit", func() error {
		return b.Commit(t.Context(), "key", completing(holder, "answer"))
	})
	if got := <-answer; got != "answer" {
		t.Errorf("the waiter returned %q", got)
	}
	settle(t, cluster)
}

// A client that was told to take a cluster's node for a single server must still
// be heard by those who weren't.
func TestTheServerSaysTheMode(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	options := prefixed(t)
	layout, err := wire.NewLayout(options.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	owner := cluster.Nodes[cluster.Owner(t, layout.Record("key"))]
	single := option(owner.Addr())
	single.ForceSingleClient = true
	a, b := open(t, single, options), open(t, rueidislib.ClientOption{InitAddress: cluster.Addrs()}, options)
	for _, pair := range [][2]*rueidis.Backend{{a, b}, {b, a}} {
		holder := token()
		take(t, pair[0], "key", taking(holder))
		w := wait(t, pair[1], "key", holder, 3)
		eventually(t, "the sharded channel", func() error {
			if names, _ := owner.Do(t, "PUBSUB", "SHARDCHANNELS").([]any); len(names) != 1 {
				return fmt.Errorf("is among %q", names)
			}
			return nil
		})
		if err := pair[0].Commit(within(t), "key", completing(holder, "answer")); err != nil {
			t.Fatal(err)
		}
		w.woken(t, "answer")
		if err := a.Forget(within(t), "key"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "Forget", func() error {
			record, err := b.Claim(t.Context(), "key", taking(token()))
			if err == nil && record.State == backend.Completed {
				err = errors.New("not heard of")
			}
			return err
		})
		if err := b.Forget(within(t), "key"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSentinel(t *testing.T) {
	connects := map[string]func(t *testing.T, client rueidislib.ClientOption, options rueidis.Options) *rueidis.Backend{
		"New": func(t *testing.T, client rueidislib.ClientOption, options rueidis.Options) *rueidis.Backend {
			return open(t, client, options)
		},
		"NewFromClient": func(t *testing.T, option rueidislib.ClientOption, options rueidis.Options) *rueidis.Backend {
			return fromClient(t, client(t, option), options)
		},
	}
	for name, connect := range connects {
		t.Run(name, func(t *testing.T) {
			sentinels := redistest.StartSentinels(t)
			sentinelOption := rueidislib.ClientOption{
				InitAddress: sentinels.Addrs(),
				Sentinel:    rueidislib.SentinelOption{MasterSet: redistest.MasterName},
			}
			t.Run("Conformance", func(t *testing.T) {
				conformance.Run(t, conformance.Harness{
					Open: func(testing.TB) func() backend.Backend {
						options := prefixed(t)
						return func() backend.Backend { return connect(t, sentinelOption, options) }
					},
				})
			})
			// Replicas lag behind: nothing of ours is read from them, not even
			// where the app's client sends them what only reads.
			t.Run("ReplicasAreNotAsked", func(t *testing.T) {
				reading := sentinelOption
				reading.SendToReplicas = func(command rueidislib.Completed) bool { return command.IsReadOnly() }
				b := connect(t, reading, prefixed(t))
				commands := sent(t, sentinels.Replica.Addr(), func() {
					complete(t, b, "key", "answer")
					hot(t, sentinels.Master.Addr(), b, "key", "answer")
				})
				for _, command := range commands {
					if command == "GET" || command == "EVALSHA" {
						t.Fatalf("the replica was sent %q", commands)
					}
				}
			})
			t.Run("FailOver", func(t *testing.T) {
				options := prefixed(t)
				a, b := connect(t, sentinelOption, options), connect(t, sentinelOption, options)
				complete(t, a, "done", "answer")
				for range 3 {
					replay(t, b, "done", "answer")
				}
				holder := token()
				take(t, a, "key", taking(holder))
				w := wait(t, b, "key", holder, 5)
				subscribed(t, sentinels.Master.Addr(), options.Prefix, 1)
				sentinels.Master.Do(t, "WAIT", "1", "5000")
				sentinels.Master.Kill(t)
				sentinels.AwaitFailover(t)
				eventually(t, "the commit", func() error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return a.Commit(ctx, "key", completing(holder, "answer"))
				})
				eventually(t, "the replay", func() error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					return replays(ctx, b, "done", "answer")
				})
				w.woken(t, "answer")
			})
		})
	}
}
