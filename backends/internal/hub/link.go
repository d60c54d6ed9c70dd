package hub

import (
	"errors"
	"sync/atomic"
	"time"
)

// link is the connection of one route: opened when a channel is wanted, opened
// again when it is lost, given up when no channel has been wanted for a while.
// Its fields are guarded by the lock of Conns.
type link struct {
	conns    *Conns
	route    string
	channels map[string]*channelState
	changed  []string      // channels of which something else is wanted
	wanted   int           // channels that are wanted
	wake     chan struct{} // of capacity one: what is wanted has changed
}

// channelState is what is wanted of a channel and what the server was asked.
type channelState struct {
	wanted     bool
	subscribed bool // the last command for it was a SUBSCRIBE
	confirmed  bool
	// Confirmations that are under way. A subscription is confirmed by the last
	// of them: those before it belong to one that was ended since.
	subscribing, unsubscribing int
}

var errSilent = errors.New("subscription connection is silent")

// want changes what is wanted. The lock is held.
func (l *link) want(channel string, wanted bool) {
	s := l.channels[channel]
	if s == nil {
		s = new(channelState)
		l.channels[channel] = s
	}
	if s.wanted != wanted {
		s.wanted = wanted
		if wanted {
			l.wanted++
		} else {
			l.wanted--
		}
	}
	if wanted && s.confirmed {
		// Not yet unsubscribed since it was last wanted. The hub must be told,
		// but not from here: it holds its lock.
		l.conns.done.Go(func() { l.conns.events.Confirmed(channel) })
		return
	}
	l.changed = append(l.changed, channel)
	l.kick()
}

func (l *link) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run keeps the link up until nothing has been wanted of it for a while.
func (l *link) run() {
	c := l.conns
	for backoff := firstBackoff; ; {
		opened := time.Now()
		conn, err := c.options.Dial(c.ctx, l.route)
		if err == nil {
			err = l.serve(conn)
		}
		lost := l.reset()
		if c.ctx.Err() != nil {
			return
		}
		if err != nil {
			for _, channel := range lost {
				c.events.Dropped(channel)
			}
			if time.Since(opened) > lastBackoff {
				backoff = firstBackoff
			}
			if !pause(c.ctx, backoff) {
				return
			}
			backoff = min(2*backoff, lastBackoff)
			if c.options.Route != nil {
				// It may have failed because a slot is another node's now.
				for _, channel := range lost {
					c.moved(channel)
				}
			}
		}
		if !l.used(err == nil) {
			return
		}
	}
}

// used waits for something to be wanted. If nothing is, at once where it has
// expired, otherwise for as long as an idle connection would stay open, it ends
// the link.
func (l *link) used(expired bool) bool {
	c := l.conns
	idle := time.NewTimer(c.options.Linger)
	defer idle.Stop()
	for {
		c.mu.Lock()
		if l.wanted > 0 {
			c.mu.Unlock()
			return true
		}
		if expired {
			delete(c.links, l.route)
			c.mu.Unlock()
			return false
		}
		c.mu.Unlock()
		select {
		case <-l.wake:
		case <-idle.C:
			expired = true
		case <-c.ctx.Done():
			return false
		}
	}
}

// reset forgets what the lost connection was asked for, and returns the
// channels that are still wanted.
func (l *link) reset() (lost []string) {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	l.changed = l.changed[:0]
	for channel, s := range l.channels {
		if !s.wanted {
			delete(l.channels, channel)
			continue
		}
		*s = channelState{wanted: true}
		lost = append(lost, channel)
	}
	l.changed = append(l.changed, lost...)
	return lost
}

// serve drives one connection until it fails, or returns nil when it has been
// idle for long enough.
func (l *link) serve(conn Conn) error {
	c := l.conns
	var heard atomic.Int64 // when the last event came, in nanoseconds since begin
	begin := time.Now()
	failed := make(chan error, 1)
	c.done.Go(func() {
		for {
			event, err := conn.Receive()
			if err != nil {
				failed <- err
				return
			}
			heard.Store(int64(time.Since(begin)))
			l.handle(event)
		}
	})
	defer conn.Close()

	ping := time.NewTicker(c.options.PingInterval)
	defer ping.Stop()
	asked := time.Duration(-1)
	idle := time.NewTimer(c.options.Linger)
	defer idle.Stop()
	for {
		subscribe, unsubscribe, wanted := l.changes()
		if len(subscribe) > 0 {
			if err := conn.Subscribe(subscribe); err != nil {
				return err
			}
		}
		if len(unsubscribe) > 0 {
			if err := conn.Unsubscribe(unsubscribe); err != nil {
				return err
			}
		}
		if wanted || len(unsubscribe) > 0 {
			idle.Reset(c.options.Linger)
		}
		select {
		case <-l.wake:
		case err := <-failed:
			return err
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-idle.C:
			if !wanted {
				return nil
			}
		case <-ping.C:
			last := time.Duration(heard.Load())
			switch {
			case time.Since(begin)-last < c.options.PingInterval:
			case asked > last:
				return errSilent
			default:
				asked = time.Since(begin)
				if err := conn.Ping(); err != nil {
					return err
				}
			}
		}
	}
}

// changes says what must be asked of the server now, and whether anything is
// wanted at all.
func (l *link) changes() (subscribe, unsubscribe []string, wanted bool) {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	for _, channel := range l.changed {
		s := l.channels[channel]
		switch {
		case s == nil:
		case s.wanted && !s.subscribed:
			s.subscribed = true
			s.subscribing++
			subscribe = append(subscribe, channel)
		case !s.wanted && s.subscribed:
			s.subscribed, s.confirmed = false, false
			s.unsubscribing++
			unsubscribe = append(unsubscribe, channel)
		case s.settled():
			delete(l.channels, channel)
		}
	}
	l.changed = l.changed[:0]
	return subscribe, unsubscribe, l.wanted > 0
}

// settled tells whether nothing remains of a channel.
func (s *channelState) settled() bool {
	return !s.wanted && !s.subscribed && s.subscribing == 0 && s.unsubscribing == 0
}

// handle takes one event. It calls the hub without the lock.
func (l *link) handle(event Event) {
	events := l.conns.events
	switch event.Kind {
	case Message:
		events.Message(event.Channel, event.Payload)
	case Subscribed:
		if l.confirm(event.Channel) {
			events.Confirmed(event.Channel)
		}
	case Unsubscribed:
		if l.ended(event.Channel) {
			events.Dropped(event.Channel)
			l.conns.moved(event.Channel)
		}
	}
}

func (l *link) confirm(channel string) bool {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	s := l.channels[channel]
	if s == nil {
		return false
	}
	s.subscribing = max(s.subscribing-1, 0)
	s.confirmed = s.subscribed && s.subscribing == 0
	if s.settled() {
		delete(l.channels, channel)
	}
	return s.confirmed
}

// ended tells whether the server ended a subscription of its own accord.
func (l *link) ended(channel string) bool {
	l.conns.mu.Lock()
	defer l.conns.mu.Unlock()
	s := l.channels[channel]
	if s == nil {
		return false
	}
	if s.unsubscribing > 0 {
		s.unsubscribing--
		if s.settled() {
			delete(l.channels, channel)
		}
		return false
	}
	s.subscribed, s.confirmed = false, false
	return s.wanted
}
