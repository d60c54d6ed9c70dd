package goredis_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/internal/redistest"
)

func clusterClient(c *redistest.Cluster) *redislib.ClusterClient {
	return redislib.NewClusterClient(&redislib.ClusterOptions{
		Addrs: c.Addrs(), DisableIdentity: true, ReadTimeout: time.Second, DialTimeout: time.Second,
	})
}

// wrapped hides what kind of client it is, as applications do that measure or
// trace theirs.
type wrapped struct{ redislib.UniversalClient }

func TestConformanceCluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	for name, connect := range map[string]func() redislib.UniversalClient{
		"cluster": func() redislib.UniversalClient { return clusterClient(cluster) },
		"wrapped": func() redislib.UniversalClient { return wrapped{clusterClient(cluster)} },
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, conformance.Harness{
				Open: func(tb testing.TB) func() backend.Backend {
					prefix := redistest.Prefix(t)
					return func() backend.Backend { return open(tb, connect(), prefix) }
				},
				Corrupt: func(tb testing.TB, key string) {
					for _, node := range cluster.Nodes {
						for _, name := range node.Do(tb, "KEYS", "*").([]any) {
							if strings.HasSuffix(name.(string), key) {
								node.Do(tb, "SET", name.(string), "no frame of ours", "PX", "60000")
							}
						}
					}
				},
				Disconnect: func(tb testing.TB) {
					for _, node := range cluster.Nodes {
						node.Do(tb, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
						node.Do(tb, "CLIENT", "KILL", "TYPE", "pubsub")
					}
				},
			})
		})
	}
}

// Keys of all nodes are waited for, over one connection per master.
func TestClusterWakes(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	for name, client := range map[string]redislib.UniversalClient{
		"cluster": clusterClient(cluster), "wrapped": wrapped{clusterClient(cluster)},
	} {
		t.Run(name, func(t *testing.T) { testClusterWakes(t, cluster, client) })
	}
}

func testClusterWakes(t *testing.T, cluster *redistest.Cluster, client redislib.UniversalClient) {
	prefix := redistest.Prefix(t)
	holder, store := open(t, clusterClient(cluster), prefix), open(t, client, prefix)
	const n = 60
	waits, tokens := make([]chan waited, n), make([]backend.Token, n)
	for i := range n {
		tokens[i] = token()
		take(t, holder, fmt.Sprint(i), tokens[i])
		waits[i] = wait(t.Context(), store, fmt.Sprint(i), tokens[i])
	}
	for i := range n {
		name := record(t, prefix, fmt.Sprint(i))
		node := cluster.Nodes[cluster.Owner(t, name)]
		eventually(t, "a subscription", func() bool {
			return node.Do(t, "PUBSUB", "SHARDNUMSUB", name).([]any)[1].(int64) == 1
		})
	}
	for _, node := range cluster.Nodes {
		if list := node.Do(t, "CLIENT", "LIST", "TYPE", "pubsub").(string); strings.Count(list, "\n") != 1 {
			t.Errorf("subscription connections of one node:\n%s", list)
		}
	}
	for i := range n {
		outcome := "outcome"
		if i%3 == 0 {
			outcome = strings.Repeat("x", 50_000)
		}
		complete(t, holder, fmt.Sprint(i), tokens[i], outcome)
	}
	for _, w := range waits {
		if r := received(t, w); r.State != backend.Completed {
			t.Error(r.State)
		}
	}
}

// A slot that moves takes claims, outcomes and waiters along.
func TestClusterSlotMoves(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	holder, store := open(t, clusterClient(cluster), ""), open(t, clusterClient(cluster), "")
	for i := range 3 {
		key, tok := fmt.Sprint(i), token()
		held := take(t, holder, key, tok)
		w := wait(t.Context(), store, key, tok)
		name := record(t, "", key)
		owner := cluster.Owner(t, name)
		eventually(t, "a subscription", func() bool {
			return cluster.Nodes[owner].Do(t, "PUBSUB", "SHARDNUMSUB", name).([]any)[1].(int64) == 1
		})
		to := (owner + 1) % 3
		cluster.Move(t, name, to)
		eventually(t, "a subscription on the new node", func() bool {
			return cluster.Nodes[to].Do(t, "PUBSUB", "SHARDNUMSUB", name).([]any)[1].(int64) == 1
		})
		commit := completing(tok, []string{"outcome", strings.Repeat("x", 50_000)}[i%2])
		commit.Fence = held.Fence
		if err := holder.Commit(t.Context(), key, commit); err != nil {
			t.Fatal(err)
		}
		if r := received(t, w); r.State != backend.Completed {
			t.Error(r.State)
		}
	}
}

// While a slot moves, scripts with two keys are refused and the others go where
// the key is.
func TestClusterSlotInTransit(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	store := open(t, clusterClient(cluster), "")
	for i := range 4 {
		key, tok := fmt.Sprint(i), token()
		name := record(t, "", key)
		to := (cluster.Owner(t, name) + 1) % 3
		if i%2 == 0 { // claimed at the old node or while it moves
			take(t, store, key, tok)
			cluster.Begin(t, name, to)
		} else {
			cluster.Begin(t, name, to)
			take(t, store, key, tok)
		}
		outcome := []string{"outcome", strings.Repeat("x", 50_000)}[i/2]
		complete(t, store, key, tok, outcome)
		if r, err := store.Fetch(t.Context(), key); err != nil || string(r.Outcome) != outcome {
			t.Errorf("%d: %v, %v", i, r.State, err)
		}
		if r, err := store.Claim(t.Context(), key, taking(token())); err != nil || string(r.Outcome) != outcome {
			t.Errorf("%d: %v, %v", i, r.State, err)
		}
	}
}

// A failover of the master: what was replicated stays, waiters come along.
func TestSentinelFailover(t *testing.T) {
	rig := redistest.StartSentinels(t)
	connect := func() redislib.UniversalClient {
		return redislib.NewFailoverClient(&redislib.FailoverOptions{
			MasterName: redistest.MasterName, SentinelAddrs: rig.Addrs(), DisableIdentity: true,
			ReadTimeout: time.Second, DialTimeout: time.Second,
		})
	}
	holder, store := open(t, connect(), ""), open(t, connect(), "")
	tok := token()
	held := take(t, holder, "k", tok)
	w := wait(t.Context(), store, "k", tok)
	asleep(t, rig.Master.Addr(), record(t, "", "k"))
	eventually(t, "a replicated claim", func() bool {
		return rig.Replica.Do(t, "EXISTS", record(t, "", "k")) == int64(1)
	})
	rig.Master.Kill(t)
	rig.AwaitFailover(t)
	commit := completing(tok, "outcome")
	commit.Fence = held.Fence
	eventually(t, "a commit", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return holder.Commit(ctx, "k", commit) == nil
	})
	// The waiter was told of the outcome, or that its server went away.
	r := <-w
	if r.err == nil && r.record.State != backend.Completed {
		t.Errorf("%+v", r.record)
	}
	again, err := store.Claim(t.Context(), "k", taking(token()))
	if err != nil || string(again.Outcome) != "outcome" {
		t.Error(again.State, err)
	}
}
