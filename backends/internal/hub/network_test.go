package hub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// network is a fake of a server's subscription connections. Commands reach it
// and events leave it after a latency, in order.
type network struct {
	mu      sync.Mutex
	conns   map[*pipe]bool
	dials   atomic.Int64
	refuse  error
	silent  bool // accepts connections and answers nothing
	latency time.Duration
	routes  map[string]string // channel to node; nil: one node
	most    int               // connections at once
}

type pipe struct {
	network    *network
	route      string
	commands   chan func() []Event
	events     chan Event
	closed     chan struct{}
	once       sync.Once
	subscribed map[string]bool
}

func newNetwork() *network {
	return &network{conns: map[*pipe]bool{}, latency: time.Millisecond}
}

func (n *network) dial(_ context.Context, route string) (Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials.Add(1)
	if n.refuse != nil {
		return nil, n.refuse
	}
	p := &pipe{
		network: n, route: route, subscribed: map[string]bool{},
		commands: make(chan func() []Event, 1000), events: make(chan Event, 1000), closed: make(chan struct{}),
	}
	n.conns[p] = true
	n.most = max(n.most, len(n.conns))
	go p.serve()
	return p, nil
}

func (p *pipe) serve() {
	for {
		select {
		case command := <-p.commands:
			time.Sleep(p.network.latency)
			p.network.mu.Lock()
			events := command()
			if p.network.silent {
				events = nil
			}
			for _, event := range events {
				p.events <- event
			}
			p.network.mu.Unlock()
		case <-p.closed:
			return
		}
	}
}

var errReset = errors.New("connection reset")

func (p *pipe) send(command func() []Event) error {
	select {
	case <-p.closed:
		return errReset
	case p.commands <- command:
		return nil
	}
}

func (p *pipe) Subscribe(channels []string) error {
	return p.send(func() (events []Event) {
		for _, channel := range channels {
			if node := p.network.routes[channel]; node != p.route {
				p.reset()
				return nil
			}
			p.subscribed[channel] = true
			events = append(events, Event{Kind: Subscribed, Channel: channel})
		}
		return events
	})
}

func (p *pipe) Unsubscribe(channels []string) error {
	return p.send(func() (events []Event) {
		for _, channel := range channels {
			delete(p.subscribed, channel)
			events = append(events, Event{Kind: Unsubscribed, Channel: channel})
		}
		return events
	})
}

func (p *pipe) Ping() error { return p.send(func() []Event { return []Event{{}} }) }

func (p *pipe) Receive() (Event, error) {
	select {
	case event := <-p.events:
		time.Sleep(p.network.latency)
		return event, nil
	case <-p.closed:
		return Event{}, errReset
	}
}

func (p *pipe) Close() error {
	p.network.mu.Lock()
	defer p.network.mu.Unlock()
	p.reset()
	return nil
}

func (p *pipe) reset() {
	p.once.Do(func() { close(p.closed) })
	delete(p.network.conns, p)
}

func (n *network) publish(channel, payload string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.conns {
		if p.subscribed[channel] && !n.silent {
			p.events <- Event{Kind: Message, Channel: channel, Payload: payload}
		}
	}
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.conns {
		p.reset()
	}
}

// move gives a channel to another node, as a cluster does.
func (n *network) move(channel, node string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[channel] = node
	for p := range n.conns {
		if p.subscribed[channel] {
			delete(p.subscribed, channel)
			p.events <- Event{Kind: Unsubscribed, Channel: channel}
		}
	}
}

func (n *network) state() (conns, subscriptions int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.conns {
		subscriptions += len(p.subscribed)
	}
	return len(n.conns), subscriptions
}

// open makes a hub over the network whose records are the store's.
func (n *network) open(s *store, route func(context.Context, string) (string, error)) *Hub {
	s.hub = New(s.look, func(h *Hub) Subscriber {
		return NewConns(h, ConnsOptions{Dial: n.dial, Route: route})
	})
	return s.hub
}
