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
func (b *Backend) publish(ctx context.Context) any {
	if b.cluster(ctx) {
		return publishSharded
	}
	return publishPlain
}

// cluster tells whether the server is a cluster. It asks once; an answer that
// doesn't come is guessed for this time.
func (b *Backend) cluster(ctx context.Context) bool {
	mode := b.mode.Load()
	if mode == modeUnknown {
		var known bool
		if mode, known = b.askMode(ctx); known {
			b.mode.Store(mode)
		}
	}
	return mode == modeCluster
}

func (b *Backend) askMode(ctx context.Context) (mode int32, known bool) {
	reply, err := b.client.Do(ctx, "hello").Result()
	if err == nil {
		if text, ok := helloMode(reply); ok {
			if text == "cluster" {
				return modeCluster, true
			}
			return modeSingle, true
		}
	}
	// HELLO may be forbidden, or unknown to a stand-in for Redis.
	mode = modeSingle
	if _, ok := b.client.(*redislib.ClusterClient); ok {
		mode = modeCluster
	}
	return mode, err == nil || refusesHello(err)
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
