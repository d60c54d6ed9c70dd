package goredis

import (
	"context"
	"sync"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/internal/hub"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// subscriber connects for the hub: to a single server once, to a cluster once
// per master, for a go-redis PubSub with channels of two slots silently confirms
// only the first.
type subscriber struct {
	backend *Backend
	*hub.Conns

	mu    sync.Mutex
	nodes map[string]*redislib.Client // by route
	slots slots
}

func newSubscriber(b *Backend, h *hub.Hub) *subscriber {
	s := &subscriber{backend: b, nodes: make(map[string]*redislib.Client)}
	options := hub.ConnsOptions{Dial: s.dial}
	if b.single == nil {
		options.Route = s.route
	}
	s.Conns = hub.NewConns(h, options)
	return s
}

// masters is implemented by *redis.ClusterClient. Of a client that wraps one the
// server is asked which master has a slot.
type masters interface {
	MasterForKey(ctx context.Context, key string) (*redislib.Client, error)
}

func (s *subscriber) route(ctx context.Context, channel string) (string, error) {
	if sharded, err := s.backend.cluster(ctx); !sharded {
		return "", err
	}
	cluster, ok := s.backend.client.(masters)
	if !ok {
		return s.slots.owner(ctx, s.backend.client, wire.Slot(channel))
	}
	node, err := cluster.MasterForKey(ctx, channel)
	if err != nil {
		return "", err
	}
	addr := node.Options().Addr
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[addr] = node
	return addr, nil
}

func (s *subscriber) dial(ctx context.Context, route string) (hub.Conn, error) {
	s.mu.Lock()
	node := s.nodes[route]
	s.mu.Unlock()
	sharded, err := s.backend.cluster(ctx)
	switch {
	case err != nil:
		return nil, err
	case node != nil:
		return newSubscription(ctx, node.SSubscribe(ctx), true), nil
	case sharded:
		return newSubscription(ctx, s.backend.client.SSubscribe(ctx), true), nil
	default:
		return newSubscription(ctx, s.backend.client.Subscribe(ctx), false), nil
	}
}

// subscription is a connection of go-redis for pub/sub. It is opened by the
// first Subscribe, to the node that has that channel's slot. When it fails
// go-redis opens another by itself; the hub does so too, so that it knows what
// is confirmed.
type subscription struct {
	ctx     context.Context
	pubsub  *redislib.PubSub
	sharded bool
	once    sync.Once
	opened  chan struct{} // closed when there is something to receive
}

func newSubscription(ctx context.Context, pubsub *redislib.PubSub, sharded bool) *subscription {
	return &subscription{ctx: ctx, pubsub: pubsub, sharded: sharded, opened: make(chan struct{})}
}

func (s *subscription) open() { s.once.Do(func() { close(s.opened) }) }

func (s *subscription) Subscribe(channels []string) error {
	defer s.open()
	if !s.sharded {
		return s.pubsub.Subscribe(s.ctx, channels...)
	}
	for _, channel := range channels {
		if err := s.pubsub.SSubscribe(s.ctx, channel); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscription) Unsubscribe(channels []string) error {
	if !s.sharded {
		return s.pubsub.Unsubscribe(s.ctx, channels...)
	}
	for _, channel := range channels {
		if err := s.pubsub.SUnsubscribe(s.ctx, channel); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscription) Ping() error { return s.pubsub.Ping(s.ctx) }

func (s *subscription) Receive() (hub.Event, error) {
	// Earlier, go-redis would connect to a node of its choice.
	<-s.opened
	message, err := s.pubsub.Receive(s.ctx)
	if err != nil {
		return hub.Event{}, err
	}
	switch message := message.(type) {
	case *redislib.Message:
		return hub.Event{Kind: hub.Message, Channel: message.Channel, Payload: message.Payload}, nil
	case *redislib.Subscription:
		switch message.Kind {
		case "subscribe", "ssubscribe":
			return hub.Event{Kind: hub.Subscribed, Channel: message.Channel}, nil
		case "unsubscribe", "sunsubscribe":
			return hub.Event{Kind: hub.Unsubscribed, Channel: message.Channel}, nil
		}
	}
	return hub.Event{}, nil
}

func (s *subscription) Close() error {
	defer s.open()
	return s.pubsub.Close()
}
