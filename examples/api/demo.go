package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/internal/embedded"
)

//go:embed page
var page embed.FS

const (
	// pauseFor is how long a paused instance is away: well beyond its lease.
	pauseFor = lease + 2*time.Second
	// downFor is how long a killed instance is away.
	downFor = 2 * time.Second
	// drainTimeout is how long the program waits for requests that are under way
	// when it ends.
	drainTimeout = 5 * time.Second
)

// demo is everything that the program runs: Redis, the card network, the
// instances, the networks between them, and the page.
type demo struct {
	url         string
	board       *board
	ledger      *ledger
	network     *network
	fleet       *fleet
	browserLink *link
	redisLink   *link
	lanes       []string
	redisIs     string
	cleanups    []func() // in the order of starting

	mu       sync.Mutex
	switches switches
}

// startDemo starts everything. On an error nothing is left running.
func startDemo(ctx context.Context, listener net.Listener, program func(args ...string) (*exec.Cmd, error)) (d *demo, err error) {
	d = &demo{
		url: "http://" + listener.Addr().String(), board: newBoard(),
		browserLink: &link{rate: 0.5}, redisLink: &link{rate: 0.25},
	}
	d.clean(func() { _ = listener.Close() })
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	server, err := embedded.Redis(ctx)
	if err != nil {
		return nil, err
	}
	d.clean(server.Stop)
	redis := server.Addr
	d.redisIs = "embedded"
	if !server.Embedded {
		d.redisIs = redis
	}

	d.ledger = newLedger(d.board.book)
	d.network = &network{ledger: d.ledger, link: &link{rate: 0.4}, booked: d.booked}
	network, err := d.serve("127.0.0.1:0", d.network.handler())
	if err != nil {
		return nil, err
	}

	// A namespace of its own for each run: on a Redis that remembers, the second run
	// would replay the first one.
	namespace := fmt.Sprintf("example-api-%d", time.Now().UnixNano())
	proxies := make([]string, len(clients))
	for i := range clients {
		proxy, err := faults.NewProxy(redis, faults.ProxyOptions{Pick: d.pickRedis, Complete: faults.WholeRESP, Log: 1})
		if err != nil {
			return nil, err
		}
		d.clean(func() { _ = proxy.Close() })
		proxies[i] = proxy.Addr()
	}
	d.fleet = &fleet{
		command: func(slot int) (*exec.Cmd, error) {
			return program("-instance", strconv.Itoa(slot), "-redis", proxies[slot-1], "-network", "http://"+network,
				"-namespace", namespace, "-tracking="+strconv.FormatBool(!server.Embedded))
		},
		told:    func(e report) { d.board.update(e.Request, e.apply) },
		died:    d.board.died,
		changed: d.show,
		down:    downFor,
	}
	d.clean(d.fleet.stop)
	if err := d.fleet.start(); err != nil {
		return nil, err
	}
	return d, d.serveClients(listener)
}

// serveClients opens the doors: the page with the API behind a load balancer, and
// a lane to each instance.
func (d *demo) serveClients(listener net.Listener) error {
	balancer := newBalancer(d.fleet, d.board, d.browserLink)
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	var lanes []string
	for i := range clients {
		addr, err := d.serve(net.JoinHostPort(host, "0"), balancer.handler(i+1))
		if err != nil {
			return err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return err
		}
		lanes = append(lanes, port)
	}
	d.mu.Lock()
	d.lanes = lanes
	d.mu.Unlock()
	d.flip(switches{LatencyMS: 1200})

	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	stopped := make(chan struct{})
	control := http.NewCrossOriginProtection().Handler(d.control()) // other sites' pages don't kill instances
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.Handle("/v1/", balancer.handler(0))
	mux.Handle(naivePrefix+"/v1/", balancer.handler(0))
	mux.Handle("/demo/", control)
	mux.Handle("GET /demo/events", &events{board: d.board, run: strconv.FormatInt(time.Now().UnixNano(), 36), stopped: stopped})
	d.clean(func() { close(stopped) })
	d.run(listener, mux)
	return nil
}

// serve serves a handler on an address of its own until the demo stops.
func (d *demo) serve(on string, handler http.Handler) (addr string, err error) {
	listener, err := net.Listen("tcp", on)
	if err != nil {
		return "", err
	}
	d.run(listener, handler)
	return listener.Addr().String(), nil
}

func (d *demo) run(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	d.clean(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // who is still connected had time enough
		}
		<-served
	})
}

func (d *demo) clean(f func()) { d.cleanups = append(d.cleanups, f) }

// stop stops everything in the opposite order: who serves the world first, then
// the instances, which drain, and then what they need.
func (d *demo) stop() {
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		d.cleanups[i]()
	}
}

// pickRedis is what the network between the instances and Redis does.
func (d *demo) pickRedis([]byte) faults.Action {
	switch f, slow := d.redisLink.next(); {
	case f == cut:
		return faults.CutBefore
	case f == replyLost:
		return faults.CutReply
	case slow:
		return faults.DelayReply(150 * time.Millisecond)
	}
	return faults.Pass
}

// listen listens on the address; where it is the default one and taken, on a free
// port.
func listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", cmp.Or(addr, defaultAddr))
	if err != nil && addr == "" {
		var other error
		if listener, other = net.Listen("tcp", "127.0.0.1:0"); other != nil {
			err = errors.Join(err, other)
		} else {
			err = nil
		}
	}
	return listener, err
}
