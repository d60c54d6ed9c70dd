package redistest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Slots is how many slots a cluster has.
const Slots = 16384

// topologyTimeout bounds how long the nodes of a cluster, or the sentinels of a
// master, may take to agree.
const topologyTimeout = 60 * time.Second

// Cluster is a Redis Cluster of three masters without replicas.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts a cluster of the test's own and stops it when the test
// ends. Args are appended to the command lines of its nodes.
func StartCluster(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	const masters = 3
	c := new(Cluster)
	var buses []string
	for range masters {
		node, bus := startNode(tb, args)
		c.Nodes, buses = append(c.Nodes, node), append(buses, bus)
	}
	for i, node := range c.Nodes {
		first, last := Slots*i/masters, Slots*(i+1)/masters-1
		node.Do(tb, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		node.Do(tb, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last))
		host, port, _ := net.SplitHostPort(node.Addr())
		c.Nodes[0].Do(tb, "CLUSTER", "MEET", host, port, buses[i])
	}
	c.Settle(tb)
	return c
}

func startNode(tb testing.TB, args []string) (node *Server, bus string) {
	tb.Helper()
	path, dir := binary(tb), tb.TempDir()
	var err error
	for range 5 {
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		bus = strconv.Itoa(port)
		node, err = start(path, dir, append([]string{
			"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
		}, args...))
		if err == nil {
			tb.Cleanup(node.stop)
			return node, bus
		}
	}
	tb.Fatalf("redistest: cluster node: %v", err)
	return nil, ""
}

// Addrs are the host:port of all nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr())
	}
	return addrs
}

// Settle waits until all nodes see each other, and a complete cluster.
func (c *Cluster) Settle(tb testing.TB) {
	tb.Helper()
	settled := func() bool {
		for _, node := range c.Nodes {
			info, _ := node.Do(tb, "CLUSTER", "INFO").(string)
			slots, _ := node.Do(tb, "CLUSTER", "SLOTS").([]any)
			if !strings.Contains(info, "cluster_state:ok") ||
				!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r\n", len(c.Nodes))) ||
				len(slots) < len(c.Nodes) {
				return false
			}
		}
		return true
	}
	await(tb, "a cluster that is ok on every node", settled)
}

// Slot is the slot of a key.
func (c *Cluster) Slot(tb testing.TB, key string) int {
	tb.Helper()
	return int(c.Nodes[0].Do(tb, "CLUSTER", "KEYSLOT", key).(int64))
}

// Owner is the node that serves a slot, as the first node sees it.
func (c *Cluster) Owner(tb testing.TB, slot int) *Server {
	tb.Helper()
	for _, entry := range c.Nodes[0].Do(tb, "CLUSTER", "SLOTS").([]any) {
		entry := entry.([]any)
		if int(entry[0].(int64)) > slot || int(entry[1].(int64)) < slot {
			continue
		}
		port := strconv.FormatInt(entry[2].([]any)[1].(int64), 10)
		for _, node := range c.Nodes {
			if strings.HasSuffix(node.Addr(), ":"+port) {
				return node
			}
		}
	}
	tb.Fatalf("redistest: no node serves slot %d", slot)
	return nil
}

// Other is a node that isn't the given one.
func (c *Cluster) Other(node *Server) *Server {
	for _, other := range c.Nodes {
		if other != node {
			return other
		}
	}
	return nil
}

// MoveSlot moves a slot with its keys to another node. Unless it is nil, halfway
// is called while the slot is on the move: marked on both nodes, and its keys
// still on the old one.
func (c *Cluster) MoveSlot(tb testing.TB, slot int, to *Server, halfway func()) {
	tb.Helper()
	from, name := c.Owner(tb, slot), strconv.Itoa(slot)
	if from == to {
		return
	}
	fromID, toID := from.Do(tb, "CLUSTER", "MYID").(string), to.Do(tb, "CLUSTER", "MYID").(string)
	to.Do(tb, "CLUSTER", "SETSLOT", name, "IMPORTING", fromID)
	from.Do(tb, "CLUSTER", "SETSLOT", name, "MIGRATING", toID)
	if halfway != nil {
		halfway()
	}
	host, port, _ := net.SplitHostPort(to.Addr())
	for {
		keys, _ := from.Do(tb, "CLUSTER", "GETKEYSINSLOT", name, "100").([]any)
		if len(keys) == 0 {
			break
		}
		args := []string{"MIGRATE", host, port, "", "0", "5000", "KEYS"}
		for _, key := range keys {
			args = append(args, key.(string))
		}
		from.Do(tb, args...)
	}
	to.Do(tb, "CLUSTER", "SETSLOT", name, "NODE", toID)
	from.Do(tb, "CLUSTER", "SETSLOT", name, "NODE", toID)
	for _, node := range c.Nodes {
		if node != to && node != from {
			node.Do(tb, "CLUSTER", "SETSLOT", name, "NODE", toID)
		}
	}
}

// await polls until it holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(topologyTimeout); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("redistest: after %v there is not %s", topologyTimeout, what)
		}
	}
}
