package redistest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Cluster is a Redis Cluster of masters without replicas, each with an equal
// share of the slots.
type Cluster struct {
	Nodes []*Server
	ids   []string
}

const clusterSlots = 1 << 14

// StartCluster starts a cluster of the test's own with that many masters and
// waits until all agree on who has which slot.
func StartCluster(tb testing.TB, masters int) *Cluster {
	tb.Helper()
	path := binary(tb)
	c := &Cluster{Nodes: make([]*Server, masters), ids: make([]string, masters)}
	for i := range c.Nodes {
		bus, err := freePort()
		if err != nil {
			tb.Fatalf("redistest: %v", err)
		}
		node, err := start(path, tb.TempDir(), []string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", strconv.Itoa(bus),
		})
		if err != nil {
			tb.Fatalf("redistest: cluster: %v", err)
		}
		tb.Cleanup(node.stop)
		c.Nodes[i], c.ids[i] = node, node.Do(tb, "CLUSTER", "MYID").(string)
		node.Do(tb, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		first, last := i*clusterSlots/masters, (i+1)*clusterSlots/masters-1
		node.Do(tb, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
		if i > 0 {
			host, port, _ := strings.Cut(node.Addr(), ":")
			c.Nodes[0].Do(tb, "CLUSTER", "MEET", host, port, strconv.Itoa(bus))
		}
	}
	for _, node := range c.Nodes {
		await(tb, "an agreed cluster", func() bool {
			info := node.Do(tb, "CLUSTER", "INFO").(string)
			return strings.Contains(info, "cluster_state:ok") &&
				strings.Contains(info, fmt.Sprintf("cluster_slots_ok:%d\r\n", clusterSlots)) &&
				strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", masters))
		})
	}
	return c
}

// Addrs are the addresses of the nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// Owner is the index of the node that has the slot of a key.
func (c *Cluster) Owner(tb testing.TB, key string) int {
	tb.Helper()
	slot := c.Nodes[0].Do(tb, "CLUSTER", "KEYSLOT", key).(int64)
	for _, entry := range c.Nodes[0].Do(tb, "CLUSTER", "SLOTS").([]any) {
		entry := entry.([]any)
		if slot < entry[0].(int64) || slot > entry[1].(int64) {
			continue
		}
		for i, id := range c.ids {
			if id == entry[2].([]any)[2].(string) {
				return i
			}
		}
	}
	tb.Fatalf("redistest: nobody has slot %d", slot)
	return -1
}

// Begin makes the slot of a key one that moves to another node: keys that the
// old one doesn't have are asked for at the new one.
func (c *Cluster) Begin(tb testing.TB, key string, to int) (slot string, from int) {
	tb.Helper()
	from = c.Owner(tb, key)
	slot = strconv.FormatInt(c.Nodes[0].Do(tb, "CLUSTER", "KEYSLOT", key).(int64), 10)
	c.Nodes[to].Do(tb, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	c.Nodes[from].Do(tb, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	return slot, from
}

// Move moves the slot of a key, with its keys, to another node.
func (c *Cluster) Move(tb testing.TB, key string, to int) {
	tb.Helper()
	slot, from := c.Begin(tb, key, to)
	if from == to {
		tb.Fatalf("redistest: node %d has slot %s already", to, slot)
	}
	host, port, _ := strings.Cut(c.Nodes[to].Addr(), ":")
	for _, name := range c.Nodes[from].Do(tb, "CLUSTER", "GETKEYSINSLOT", slot, "1000").([]any) {
		c.Nodes[from].Do(tb, "MIGRATE", host, port, name.(string), "0", "5000")
	}
	c.Nodes[to].Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	c.Nodes[from].Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	for i, node := range c.Nodes {
		if i != from && i != to {
			node.Do(tb, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
		}
	}
}
