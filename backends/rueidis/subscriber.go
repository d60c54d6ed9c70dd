package rueidis

import (
	"context"
	"sync"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backends/internal/hub"
)

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// partingTimeout is how long the next subscription of a channel waits for
	// the end of the last one.
	partingTimeout = time.Second
	// closePatience is how long Close waits for subscriptions to end.
	closePatience = 250 * time.Millisecond
)

// subscriber subscribes the hub's channels, by one Receive for each on the
// client's own connections.
//
// Receive does not unsubscribe when its ctx ends: that is done here, on the
// connection that it had, and without waiting in its return hook, for until the
// hook has returned nobody takes messages from the connection, and the reply
// may stand behind them.
type subscriber struct {
	backend *Backend
	events  *hub.Hub
	ctx     context.Context
	stop    context.CancelFunc
	done    sync.WaitGroup

	mu       sync.Mutex
	channels map[string]*channel
}

// channel is one that is wanted, or was until a moment ago.
type channel struct {
	wanted bool
	ctx    context.Context // for as long as it is wanted this time
	cancel context.CancelFunc
}

func newSubscriber(b *Backend, events *hub.Hub) *subscriber {
	s := &subscriber{backend: b, events: events, channels: make(map[string]*channel)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Subscribe implements hub.Subscriber.
func (s *subscriber) Subscribe(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	if c == nil {
		c = new(channel)
		s.channels[name] = c
		s.done.Go(func() { s.follow(name, c) })
	}
	c.wanted = true
	c.ctx, c.cancel = context.WithCancel(s.ctx)
}

// Unsubscribe implements hub.Subscriber.
func (s *subscriber) Unsubscribe(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	c.wanted = false
	c.cancel()
}

// Close implements hub.Subscriber.
func (s *subscriber) Close() {
	s.stop()
	ended := make(chan struct{})
	go func() {
		s.done.Wait()
		close(ended)
	}()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// wants returns the ctx of a channel, or ends it.
func (s *subscriber) wants(name string, c *channel) (context.Context, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.wanted || s.ctx.Err() != nil {
		delete(s.channels, name)
		c.wanted = false
		return nil, false
	}
	return c.ctx, true
}

// follow keeps a channel subscribed while it is wanted.
func (s *subscriber) follow(name string, c *channel) {
	backoff := firstBackoff
	for {
		ctx, wanted := s.wants(name, c)
		if !wanted {
			return
		}
		began := time.Now()
		s.receive(ctx, name)
		if ctx.Err() != nil {
			backoff = firstBackoff
			continue
		}
		s.events.Dropped(name)
		if time.Since(began) > lastBackoff {
			backoff = firstBackoff
		}
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// receive is one subscription, from the SUBSCRIBE to the UNSUBSCRIBE.
func (s *subscriber) receive(ctx context.Context, name string) {
	about, err := s.backend.server(ctx)
	if err != nil {
		return
	}
	build := s.backend.line.B()
	var subscribe rueidislib.Completed
	if about.sharded() {
		subscribe = build.Ssubscribe().Channel(name).Build()
	} else {
		subscribe = build.Subscribe().Channel(name).Build()
	}
	var parting sync.WaitGroup
	defer parting.Wait()
	hooked := rueidislib.WithOnSubscriptionHook(ctx, func(event rueidislib.PubSubSubscription) {
		switch event.Kind {
		case "subscribe", "ssubscribe":
			s.events.Confirmed(name)
		default: // the slot is another node's now
			s.events.Dropped(name)
		}
	})
	hooked = rueidislib.WithOnReceiveReturnHook(hooked, func(err error, connection rueidislib.CommandClient) error {
		if ctx.Err() == nil {
			s.events.Dropped(name) // the client may subscribe again by itself
			return err
		}
		parting.Go(func() { unsubscribe(connection, name, about.sharded()) })
		return err
	})
	_ = s.backend.line.Client.Receive(hooked, subscribe, func(message rueidislib.PubSubMessage) {
		s.events.Message(name, message.Message)
	})
}

func unsubscribe(connection rueidislib.CommandClient, name string, sharded bool) {
	ctx, cancel := context.WithTimeout(context.Background(), partingTimeout)
	defer cancel()
	if sharded {
		connection.Do(ctx, connection.B().Sunsubscribe().Channel(name).Build())
	} else {
		connection.Do(ctx, connection.B().Unsubscribe().Channel(name).Build())
	}
}
