package goredis

import (
	"context"
	"errors"
	"strings"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Modes of a server, as it says itself: applications wrap their clients, so that
// a type tells little. All processes that share records must come to the same
// result, or they don't hear each other.
const (
	modeUnknown int32 = iota
	modeSingle
	modeCluster
)

var (
	publishPlain   any = wire.Publish
	publishSharded any = wire.PublishSharded
)

// publish is the command by which waiters are woken.
func (b *Backend) publish(ctx context.Context) (any, error) {
	cluster, err := b.cluster(ctx)
	if cluster {
		return publishSharded, err
	}
	return publishPlain, err
}

// cluster tells whether the server is a cluster. It asks until it is answered,
// once.
func (b *Backend) cluster(ctx context.Context) (bool, error) {
	mode := b.mode.Load()
	if mode == modeUnknown {
		var err error
		if mode, err = b.askMode(ctx); err != nil {
			return false, err
		}
		b.mode.Store(mode)
	}
	return mode == modeCluster, nil
}

func (b *Backend) askMode(ctx context.Context) (int32, error) {
	cmd := redislib.NewCmd(ctx, "hello")
	_ = b.client.Process(ctx, onceCmd{cmd})
	reply, err := cmd.Result()
	if err != nil && !refusesHello(err) {
		return modeUnknown, err
	}
	text, ok := helloMode(reply)
	if !ok {
		// Forbidden, or a stand-in for Redis that doesn't know it.
		_, ok = b.client.(*redislib.ClusterClient)
		text = map[bool]string{true: "cluster"}[ok]
	}
	if text == "cluster" {
		return modeCluster, nil
	}
	return modeSingle, nil
}

// refusesHello tells whether the server will never answer HELLO.
func refusesHello(err error) bool {
	var reply redislib.Error
	if !errors.As(err, &reply) {
		return false
	}
	text := reply.Error()
	return strings.HasPrefix(text, "NOPERM ") || strings.HasPrefix(text, "ERR ") && wire.Classify(text) != backend.ErrNotApplied
}

// helloMode finds the mode in a reply of HELLO, which is a map or a flat list.
func helloMode(reply any) (string, bool) {
	switch reply := reply.(type) {
	case map[any]any:
		mode, ok := reply["mode"].(string)
		return mode, ok
	case []any:
		for i := 0; i+1 < len(reply); i += 2 {
			if reply[i] == "mode" {
				mode, ok := reply[i+1].(string)
				return mode, ok
			}
		}
	}
	return "", false
}
