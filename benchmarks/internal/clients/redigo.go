package clients

import (
	"context"
	"errors"
	"net"
	"testing"

	redigolib "github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
)

func newPool(tb testing.TB, addr string, dial Dial) *redigolib.Pool {
	pool := &redigolib.Pool{
		// Bounded, so that a crowd of renewals doesn't open a connection each.
		MaxIdle: MaxGoroutines, MaxActive: MaxGoroutines, Wait: true,
		DialContext: func(ctx context.Context) (redigolib.Conn, error) {
			var options []redigolib.DialOption
			if dial != nil {
				options = append(options, redigolib.DialContextFunc(func(ctx context.Context, network, addr string) (net.Conn, error) {
					return dial(ctx, network, addr)
				}))
			}
			return redigolib.DialContext(ctx, "tcp", addr, options...)
		},
	}
	tb.Cleanup(func() { _ = pool.Close() })
	return pool
}

func openRedigo(tb testing.TB, addr string, dial Dial) backend.Backend {
	tb.Helper()
	store, err := redigo.New(newPool(tb, addr, dial), redigo.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}

func bareRedigo(tb testing.TB, addr string) Bare { return redigoBare{newPool(tb, addr, nil)} }

type redigoBare struct{ pool *redigolib.Pool }

func (b redigoBare) do(ctx context.Context, name string, args ...any) (any, error) {
	conn, err := b.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return redigolib.DoContext(conn, ctx, name, args...)
}

func (b redigoBare) Set(ctx context.Context, key, value string) error {
	_, err := b.do(ctx, "SET", key, value, "PX", TTL.Milliseconds())
	return err
}

func (b redigoBare) Get(ctx context.Context, key string) (int, error) {
	return redigoLength(b.do(ctx, "GET", key))
}

func (b redigoBare) Claim(ctx context.Context, name, frame string, px int64) (int, error) {
	return redigoLength(b.do(ctx, "SET", name, frame, "NX", "GET", "PX", px))
}

func redigoLength(reply any, err error) (int, error) {
	value, err := redigolib.Bytes(reply, err)
	if errors.Is(err, redigolib.ErrNil) {
		return -1, nil
	}
	return len(value), err
}

func (b redigoBare) Eval(ctx context.Context, sha, name string, args []string) error {
	_, err := b.do(ctx, "EVALSHA", append([]any{sha, 1, name}, boxed(args)...)...)
	return err
}

func (b redigoBare) SetEval(ctx context.Context, side, frame string, px int64, sha, name string, args []string) error {
	conn, err := b.pool.GetContext(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Send("SET", side, frame, "PX", px); err != nil {
		return err
	}
	_, err = redigolib.DoContext(conn, ctx, "EVALSHA", append([]any{sha, 2, name, side}, boxed(args)...)...)
	return err
}

func (b redigoBare) Publish(ctx context.Context, channel, message string) error {
	_, err := b.do(ctx, "PUBLISH", channel, message)
	return err
}

func (b redigoBare) Subscribe(ctx context.Context, channel string, message func()) error {
	conn, err := b.pool.DialContext(ctx)
	if err != nil {
		return err
	}
	sub := redigolib.PubSubConn{Conn: conn}
	if err := sub.Subscribe(channel); err != nil {
		return err
	}
	if err, failed := sub.Receive().(error); failed {
		return err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	go func() {
		for {
			switch sub.ReceiveWithTimeout(0).(type) {
			case redigolib.Message:
				message()
			case error:
				return
			}
		}
	}()
	return nil
}
