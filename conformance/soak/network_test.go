//go:build unix

package soak

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/conformance/faults"
)

// network is the proxies between the workers and the servers: each slot of the
// fleet has one for each server.
type network struct {
	slots    [][]*faults.Proxy
	routes   []map[string]string
	commands atomic.Int64 // that went to a server, without those that only greet it
}

// silence is how long a client may take to notice a silent connection, with what
// it does then.
const silence = 4 * time.Second

// openNetwork puts proxies in front of the addresses. Share is the part of the
// requests that is broken; silent is told when a slot's connection falls silent.
func openNetwork(addrs []string, slots int, share float64, lease time.Duration, seed uint64, silent func(slot int)) (*network, error) {
	n := &network{slots: make([][]*faults.Proxy, slots), routes: make([]map[string]string, slots)}
	for slot := range slots {
		random := rand.New(rand.NewPCG(seed, 1000+uint64(slot)))
		var mu sync.Mutex
		options := faults.ProxyOptions{
			Complete: faults.WholeRESP, Log: 1,
			Pick: func([]byte) faults.Action {
				mu.Lock()
				defer mu.Unlock()
				if random.Float64() >= share {
					return faults.Pass
				}
				d := time.Duration(random.Int64N(int64(2 * lease)))
				switch random.IntN(20) {
				case 0:
					silent(slot)
					return faults.Blackhole
				case 1, 2, 3, 4, 5:
					return faults.CutBefore
				case 6, 7, 8, 9:
					return faults.DelayReply(d / 4)
				case 10, 11, 12, 13:
					return faults.Late(d)
				default:
					return faults.CutReply
				}
			},
			Observe: func(e faults.Exchange) {
				if e.Forwarded {
					n.commands.Add(countCommands(e.Request))
				}
			},
		}
		n.routes[slot] = map[string]string{}
		for _, addr := range addrs {
			proxy, err := faults.NewProxy(addr, options)
			if err != nil {
				n.close()
				return nil, err
			}
			n.slots[slot] = append(n.slots[slot], proxy)
			n.routes[slot][addr] = proxy.Addr()
		}
	}
	return n, nil
}

func (n *network) each(use func(*faults.Proxy)) {
	for _, slot := range n.slots {
		for _, proxy := range slot {
			use(proxy)
		}
	}
}

func (n *network) close() { n.each(func(p *faults.Proxy) { p.Close() }) }

// countCommands counts the commands in a request, without those that only set a
// connection up.
func countCommands(request []byte) (count int64) {
	line := func() (int, bool) {
		text, rest, found := bytes.Cut(request[1:], []byte("\r\n"))
		if !found {
			return 0, false
		}
		request = rest
		size, err := strconv.Atoi(string(text))
		return size, err == nil && size >= 0
	}
	for len(request) > 0 && request[0] == '*' {
		args, ok := line()
		if !ok {
			return count
		}
		for i := range args {
			if len(request) == 0 || request[0] != '$' {
				return count
			}
			size, ok := line()
			if !ok || len(request) < size+2 {
				return count
			}
			if i == 0 && !greetings[string(bytes.ToUpper(request[:size]))] {
				count++
			}
			request = request[size+2:]
		}
	}
	return count
}

var greetings = map[string]bool{
	"HELLO": true, "AUTH": true, "SELECT": true, "PING": true, "CLIENT": true, "COMMAND": true, "INFO": true, "CLUSTER": true, "ROLE": true,
}
