package redigo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// What makes a server unusable for this package, permanently.
var (
	errCluster  = errors.New("the pool's server is a node of a Redis Cluster, which redigo doesn't follow: use backends/goredis or backends/rueidis")
	errSentinel = errors.New("the pool's server is a Sentinel: dial the master that it names")
	errOld      = errors.New("the pool's server is too old: Redis 7.0 or later is needed")
)

// greet asks the server once what it is. A node of a cluster would do as it is
// told for the keys of its own slots, while waiters elsewhere listened for
// messages of another kind than this package's.
func (b *Backend) greet(ctx context.Context, conn redis.Conn) error {
	if b.greeted.Load() {
		return nil
	}
	reply, err := redis.Values(redis.DoContext(conn, ctx, "HELLO"))
	if refusal := redis.Error(""); err != nil && !errors.As(err, &refusal) && conn.Err() == nil {
		// The connection doesn't know contexts, so that it can't be interrupted.
		b.wrapped.Store(true)
		reply, err = redis.Values(conn.Do("HELLO"))
	}
	if err == nil {
		err = usable(reply)
	} else if refusal := redis.Error(""); errors.As(err, &refusal) {
		// Proxies and stand-ins for Redis may not know HELLO. Whatever else is
		// wrong the first command will tell.
		if class := wire.Classify(string(refusal)); class == nil || class == backend.ErrPermanent {
			err = nil
		}
	}
	if err == nil {
		b.greeted.Store(true)
	}
	return err
}

// usable reads what a server says of itself: a list of names and values.
func usable(hello []any) error {
	said := make(map[string]string, len(hello)/2)
	for i := 0; i+1 < len(hello); i += 2 {
		name, _ := redis.String(hello[i], nil)
		said[name], _ = redis.String(hello[i+1], nil)
	}
	switch said["mode"] {
	case "cluster":
		return errCluster
	case "sentinel":
		return errSentinel
	}
	if said["server"] == "redis" {
		major, _, _ := strings.Cut(said["version"], ".")
		if n, err := strconv.Atoi(major); err == nil && n < 7 {
			return fmt.Errorf("%w, the server is %s", errOld, said["version"])
		}
	}
	return nil
}
