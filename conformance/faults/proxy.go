package faults

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// ProxyOptions says what a [Proxy] does. The zero value passes everything.
type ProxyOptions struct {
	// Pick chooses what is done with a request that no [Proxy.OnNth] claims.
	// Nil passes all. It is called by many goroutines at once and must not keep
	// or change the request.
	Pick func(request []byte) Action
	// Observe is told of every request once it is decided whether it goes to the
	// server: before it is forwarded, and for one that never will be when that
	// is certain. It is called by many goroutines at once and must not keep the
	// request. Nil: nobody is told.
	Observe func(Exchange)
	// Complete tells whether the bytes read so far are whole requests. Nil takes
	// what one read from the connection brings for one request: right for
	// clients that flush once per request or pipeline, up to some ten KiB. For
	// longer requests to Redis use [WholeRESP].
	Complete func(buffered []byte) bool
	// Log is how many exchanges are remembered for [Proxy.Exchanges], the newest
	// ones; zero means 4,096.
	Log int
}

// Exchange is one request and what the proxy did with it.
type Exchange struct {
	Request []byte
	Action  Action
	// Forwarded: the request was, or may have been, delivered to the server. A
	// request that wasn't had certainly no effect.
	Forwarded bool
}

// heldRequest is a request that [Late] holds back.
type heldRequest struct {
	deliver chan struct{} // closed by DeliverLate
	done    chan struct{} // closed when the server is done with it, or never will be
}

// Proxy stands between clients and one TCP server and breaks what the test asks
// it to break. It takes what a client writes at once for one request: a pipeline
// is one request, and a client that multiplexes goroutines over one connection
// may join theirs into one. Match requests without regard to case: go-redis sends
// the names of commands in lower case, others in upper case.
//
// All methods may be called by many goroutines at once.
type Proxy struct {
	target   string
	options  ProxyOptions
	listener net.Listener
	script   script[[]byte, Action]

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	links    map[*link]struct{}
	accepted int
	log      []Exchange
	open     chan struct{} // closed unless paused
	paused   bool
	held     map[*heldRequest]struct{}
}

// NewProxy listens on a free port of 127.0.0.1, in front of the server at target
// ("host:port"), which is dialled once per client connection.
func NewProxy(target string, options ProxyOptions) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if options.Log <= 0 {
		options.Log = 4096
	}
	p := &Proxy{
		target: target, options: options, listener: listener,
		links: map[*link]struct{}{}, open: make(chan struct{}), held: map[*heldRequest]struct{}{},
	}
	close(p.open)
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where clients connect: "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// OnNth does action with the nth request from now on that match is true for; n
// counts from 1, and a nil match counts every request. It acts once. Of several
// whose turn it is, the one that was asked for first acts, the others act on
// their next match.
func (p *Proxy) OnNth(match func(request []byte) bool, n int, action Action) {
	p.script.onNth(match, n, action)
}

// CutAll closes every connection that is open now, in both directions.
func (p *Proxy) CutAll() {
	for _, l := range p.snapshot() {
		l.cut()
	}
}

// Pause lets nothing through in either direction until [Proxy.Resume]: the
// server seems silent. Connections are still accepted, and nothing is lost.
func (p *Proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.paused {
		p.paused, p.open = true, make(chan struct{})
	}
}

// Resume ends a [Proxy.Pause].
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused {
		p.paused = false
		close(p.open)
	}
}

// DeliverLate forwards the requests that [Late] holds back, now, and returns when
// the server has answered them or closed their connections.
func (p *Proxy) DeliverLate() {
	p.mu.Lock()
	held := p.held
	p.held = map[*heldRequest]struct{}{}
	p.mu.Unlock()
	for h := range held {
		close(h.deliver)
	}
	for h := range held {
		<-h.done
	}
}

// Exchanges lists the requests seen so far, in the order in which they were
// decided on; the oldest are dropped once there are more than
// [ProxyOptions.Log].
func (p *Proxy) Exchanges() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.log)
}

// Forwarded counts the remembered requests that were forwarded and that match is
// true for; a nil match counts all.
func (p *Proxy) Forwarded(match func(request []byte) bool) int {
	count := 0
	for _, e := range p.Exchanges() {
		if e.Forwarded && (match == nil || match(e.Request)) {
			count++
		}
	}
	return count
}

// Connections is how many client connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// Accepted is how many client connections there have been.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Close closes every connection, drops the requests that are held back and
// returns when no goroutine of the proxy is left. Closing again does nothing.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	p.CutAll()
	p.running.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if p.ctx.Err() != nil {
			if err == nil {
				client.Close()
			}
			return
		}
		if err != nil {
			// Out of descriptors, or a client that was gone before it was
			// accepted: the listener itself lives until Close.
			select {
			case <-time.After(time.Millisecond):
			case <-p.ctx.Done():
			}
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		client.Close()
		return
	}
	l := &link{proxy: p, client: client, server: server}
	p.mu.Lock()
	p.links[l] = struct{}{}
	p.accepted++
	p.mu.Unlock()
	// Close may have looked at the links before this one was among them.
	if p.ctx.Err() != nil {
		l.cut()
	}
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) snapshot() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) pick(request []byte) Action {
	if action, found := p.script.pick(request); found {
		return action
	}
	if p.options.Pick != nil {
		return p.options.Pick(request)
	}
	return Pass
}

func (p *Proxy) record(request []byte, action Action, forwarded bool) {
	e := Exchange{Request: slices.Clone(request), Action: action, Forwarded: forwarded}
	p.mu.Lock()
	if len(p.log) >= p.options.Log {
		p.log = slices.Delete(p.log, 0, max(1, p.options.Log/4))
	}
	p.log = append(p.log, e)
	p.mu.Unlock()
	if p.options.Observe != nil {
		p.options.Observe(e)
	}
}

// pass waits while the proxy is paused. It reports false once it is closed.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	select {
	case <-open:
		return p.ctx.Err() == nil
	case <-p.ctx.Done():
		return false
	}
}
