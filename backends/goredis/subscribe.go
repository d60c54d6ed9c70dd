package goredis

import (
	"context"
	"strconv"
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

// routeSlot begins the routes of clients that don't tell the nodes of a cluster
// apart: one connection per slot in use.
const routeSlot = "slot "

// masters is implemented by *redis.ClusterClient.
type masters interface {
	MasterForKey(ctx context.Context, key string) (*redislib.Client, error)
}

func (s *subscriber) route(ctx context.Context, channel string) (string, error) {
	if sharded, err := s.backend.cluster(ctx); !sharded {
		return "", err
	}
	cluster, ok := s.backend.client.(masters)
	if !ok {
		return routeSlot + strconv.Itoa(wire.Slot(channel)), nil
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
		return &subscription{ctx: ctx, pubsub: node.SSubscribe(ctx), sharded: true}, nil
	case sharded:
		return &subscription{ctx: ctx, pubsub: s.backend.client.SSubscribe(ctx), sharded: true}, nil
	default:
		return &subscription{ctx: ctx, pubsub: s.backend.client.Subscribe(ctx)}, nil
	}
}

// subscription is a connection of go-redis for pub/sub. It is opened by the
// first Subscribe. When it fails go-redis opens another by itself; the hub does
// so too, so that it knows what is confirmed.
type subscription struct {
	ctx     context.Context
	pubsub  *redislib.PubSub
	sharded bool
}

func (s *subscription) Subscribe(channels []string) error {
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

func (s *subscription) Close() error { return s.pubsub.Close() }
