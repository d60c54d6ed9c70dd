package hub

import (
	"context"
	"sync"
	"time"
)

// Kind tells events apart.
type Kind uint8

const (
	// Other is anything that shows that the connection is alive: a pong.
	Other Kind = iota
	// Subscribed confirms a subscription.
	Subscribed
	// Unsubscribed confirms the end of one, or tells that the server ended it.
	Unsubscribed
	// Message is a message.
	Message
)

// Event is what a subscription connection receives.
type Event struct {
	Kind    Kind
	Channel string
	Payload string // of a Message
}

// Conn is one subscription connection. One goroutine calls Subscribe,
// Unsubscribe, Ping and Close, another Receive.
type Conn interface {
	// Subscribe and Unsubscribe send the command for some channels; the
	// confirmations come as events, one per channel.
	Subscribe(channels []string) error
	Unsubscribe(channels []string) error
	// Ping makes the server send something.
	Ping() error
	// Receive blocks until there is an event. After an error, which Close
	// causes too, the connection is closed and not used again.
	Receive() (Event, error)
	Close() error
}

// ConnsOptions are the parameters of [NewConns].
type ConnsOptions struct {
	// Dial opens a connection to what Route returned, or may leave that to the
	// connection's first Subscribe. It ends when its ctx ends.
	Dial func(ctx context.Context, route string) (Conn, error)
	// Route says which connection carries a channel. It may block. Nil: one
	// carries all.
	Route func(ctx context.Context, channel string) (route string, err error)
	// Linger is how long a connection without channels stays open. Zero: 5 s.
	Linger time.Duration
	// PingInterval is how long a connection may be silent before it is asked
	// for a sign of life, and then before it counts as lost. Zero: 3 s.
	PingInterval time.Duration
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// closePatience is how long Close waits for connections that may be stuck in
	// their client.
	closePatience = 250 * time.Millisecond
)

// Conns is a [Subscriber] over connections that carry any number of channels.
type Conns struct {
	events  *Hub
	options ConnsOptions
	ctx     context.Context
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu    sync.Mutex
	links map[string]*link   // by route
	where map[string]*wanted // by channel; the wanted ones
}

// wanted is a channel that the hub wants.
type wanted struct {
	link  *link // nil while the route is being found
	ended bool
}

// NewConns makes a Subscriber that reports to the hub.
func NewConns(events *Hub, options ConnsOptions) *Conns {
	if options.Linger == 0 {
		options.Linger = 5 * time.Second
	}
	if options.PingInterval == 0 {
		options.PingInterval = 3 * time.Second
	}
	c := &Conns{events: events, options: options, links: make(map[string]*link), where: make(map[string]*wanted)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// Subscribe implements [Subscriber].
func (c *Conns) Subscribe(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := new(wanted)
	c.where[channel] = w
	if c.options.Route == nil {
		c.attach(w, "", channel)
		return
	}
	c.done.Go(func() { c.route(w, channel) })
}

// Unsubscribe implements [Subscriber].
func (c *Conns) Unsubscribe(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.where[channel]
	delete(c.where, channel)
	w.ended = true
	if w.link != nil {
		w.link.want(channel, false)
	}
}

// Close implements [Subscriber].
func (c *Conns) Close() {
	c.stop()
	ended := make(chan struct{})
	go func() {
		c.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(closePatience):
	}
}

// attach hands a channel to the connection of a route. The lock is held.
func (c *Conns) attach(w *wanted, route, channel string) {
	l := c.links[route]
	if l == nil {
		l = &link{conns: c, route: route, channels: make(map[string]*channelState), wake: make(chan struct{}, 1)}
		c.links[route] = l
		c.done.Go(l.run)
	}
	w.link = l
	l.want(channel, true)
}

// route finds the connection for a channel, for as long as it takes.
func (c *Conns) route(w *wanted, channel string) {
	for backoff := firstBackoff; ; backoff = min(2*backoff, lastBackoff) {
		route, err := c.options.Route(c.ctx, channel)
		c.mu.Lock()
		if w.ended || c.ctx.Err() != nil {
			c.mu.Unlock()
			return
		}
		if err == nil {
			c.attach(w, route, channel)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		c.events.Dropped(channel)
		if !pause(c.ctx, backoff) {
			return
		}
	}
}

// moved finds a new connection for a channel whose subscription the server
// ended: its slot is another node's now.
func (c *Conns) moved(channel string) {
	c.mu.Lock()
	w := c.where[channel]
	if w == nil || w.link == nil {
		c.mu.Unlock()
		return
	}
	w.link.want(channel, false)
	w.link = nil
	if c.options.Route == nil {
		c.attach(w, "", channel)
		c.mu.Unlock()
		return
	}
	c.done.Go(func() { c.route(w, channel) })
	c.mu.Unlock()
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
