package clients

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/rueidis"
)

func rueidisOption(addr string, dial Dial) rueidislib.ClientOption {
	option := rueidislib.ClientOption{InitAddress: []string{addr}}
	if dial != nil {
		option.DialCtxFn = func(ctx context.Context, dst string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dial(ctx, "tcp", dst)
		}
	}
	return option
}

func openRueidis(tb testing.TB, addr string, dial Dial) backend.Backend {
	tb.Helper()
	return openRueidisWith(tb, addr, dial, rueidis.Options{})
}

func openRueidisNoCache(tb testing.TB, addr string, dial Dial) backend.Backend {
	tb.Helper()
	return openRueidisWith(tb, addr, dial, rueidis.Options{NoCache: true})
}

func openRueidisWith(tb testing.TB, addr string, dial Dial, options rueidis.Options) backend.Backend {
	tb.Helper()
	store, err := rueidis.New(rueidisOption(addr, dial), options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}

// bareRueidis pipelines always, as the backend has its client do.
func bareRueidis(tb testing.TB, addr string) Bare {
	tb.Helper()
	option := rueidisOption(addr, nil)
	option.AlwaysPipelining = true
	return newRueidis(tb, option)
}

// rawRueidis is the client with its defaults: a lone call writes and reads by
// itself, which is quicker, and can't be left when its ctx ends.
func rawRueidis(tb testing.TB, addr string) Bare {
	tb.Helper()
	return newRueidis(tb, rueidisOption(addr, nil))
}

func newRueidis(tb testing.TB, option rueidislib.ClientOption) Bare {
	tb.Helper()
	client, err := rueidislib.NewClient(option)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	return rueidisBare{client}
}

type rueidisBare struct{ client rueidislib.Client }

func (b rueidisBare) Set(ctx context.Context, key, value string) error {
	return b.client.Do(ctx, b.client.B().Set().Key(key).Value(value).Px(TTL).Build()).Error()
}

func (b rueidisBare) Get(ctx context.Context, key string) (int, error) {
	return rueidisLength(b.client.Do(ctx, b.client.B().Get().Key(key).Build()))
}

func (b rueidisBare) Claim(ctx context.Context, name, frame string, px int64) (int, error) {
	return rueidisLength(b.client.Do(ctx, b.client.B().Set().Key(name).Value(frame).Nx().Get().PxMilliseconds(px).Build()))
}

func rueidisLength(result rueidislib.RedisResult) (int, error) {
	value, err := result.ToString()
	if rueidislib.IsRedisNil(err) {
		return -1, nil
	}
	return len(value), err
}

func (b rueidisBare) Eval(ctx context.Context, sha, name string, args []string) error {
	return b.client.Do(ctx, b.client.B().Evalsha().Sha1(sha).Numkeys(1).Key(name).Arg(args...).Build()).Error()
}

func (b rueidisBare) SetEval(ctx context.Context, side, frame string, px int64, sha, name string, args []string) error {
	results := b.client.DoMulti(ctx,
		b.client.B().Set().Key(side).Value(frame).Px(time.Duration(px)*time.Millisecond).Build(),
		b.client.B().Evalsha().Sha1(sha).Numkeys(2).Key(name, side).Arg(args...).Build())
	if err := results[0].Error(); err != nil {
		return err
	}
	return results[1].Error()
}

func (b rueidisBare) Publish(ctx context.Context, channel, message string) error {
	return b.client.Do(ctx, b.client.B().Publish().Channel(channel).Message(message).Build()).Error()
}

func (b rueidisBare) Subscribe(ctx context.Context, channel string, message func()) error {
	conn, cancel := b.client.Dedicate()
	gone := conn.SetPubSubHooks(rueidislib.PubSubHooks{OnMessage: func(rueidislib.PubSubMessage) { message() }})
	if err := conn.Do(ctx, conn.B().Subscribe().Channel(channel).Build()).Error(); err != nil {
		cancel()
		return err
	}
	go func() {
		defer cancel()
		select {
		case <-gone:
		case <-ctx.Done():
		}
	}()
	return nil
}
