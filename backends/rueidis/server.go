package rueidis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// server is what the server says of itself.
type server struct {
	publish string // wire.Publish or wire.PublishSharded
}

func (s *server) sharded() bool { return s.publish == wire.PublishSharded }

// server asks once. Clients of one fleet must agree on how waiters are woken, so
// it is the server's word that counts and not how a client was configured.
func (b *Backend) server(ctx context.Context) (*server, error) {
	if about := b.about.Load(); about != nil {
		return about, nil
	}
	about, err := b.ask(ctx)
	if err != nil {
		return nil, err
	}
	b.about.Store(about)
	return about, nil
}

func (b *Backend) ask(ctx context.Context) (*server, error) {
	hello, err := b.line.Do(ctx, b.line.B().Arbitrary("HELLO").Build()).AsMap()
	if err != nil {
		if withoutHello(err) {
			return &server{publish: publishFor(b.line.Mode() == rueidislib.ClientModeCluster)}, nil
		}
		return nil, err
	}
	field := func(name string) string {
		message := hello[name]
		text, _ := message.ToString()
		return text
	}
	if version := field("version"); field("server") == "redis" {
		major, _, _ := strings.Cut(version, ".")
		if n, err := strconv.Atoi(major); err == nil && n < 7 {
			return nil, &wire.Error{
				Op: "server", Class: backend.ErrPermanent,
				Err: fmt.Errorf("it is Redis %s, want 7.0 or later", version),
			}
		}
	}
	return &server{publish: publishFor(field("mode") == "cluster")}, nil
}

// withoutHello tells whether the server answered and won't ever answer more: it
// is a stand-in for Redis, or a proxy, or forbids the command.
func withoutHello(err error) bool {
	if _, reply := rueidislib.IsRedisErr(err); !reply {
		return false
	}
	return classify(err) == nil || refusal(err, "unknown command") || refusal(err, "NOPERM")
}

func publishFor(cluster bool) string {
	if cluster {
		return wire.PublishSharded
	}
	return wire.Publish
}
