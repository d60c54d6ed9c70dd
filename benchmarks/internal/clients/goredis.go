package clients

import (
	"context"
	"errors"
	"testing"
	"time"

	redislib "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
)

func newGoredis(tb testing.TB, addr string, dial Dial) *redislib.Client {
	client := redislib.NewClient(&redislib.Options{
		Addr: addr, Dialer: dial,
		// The server that is measured doesn't know them, and the client would ask
		// on every connection.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func openGoredis(tb testing.TB, addr string, dial Dial) backend.Backend {
	tb.Helper()
	store, err := goredis.New(newGoredis(tb, addr, dial), goredis.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}

func bareGoredis(tb testing.TB, addr string) Bare { return goredisBare{newGoredis(tb, addr, nil)} }

type goredisBare struct{ client *redislib.Client }

func (b goredisBare) Set(ctx context.Context, key, value string) error {
	return b.client.Set(ctx, key, value, TTL).Err()
}

func (b goredisBare) Get(ctx context.Context, key string) (int, error) {
	return goredisLength(b.client.Get(ctx, key).Result())
}

func (b goredisBare) Claim(ctx context.Context, name, frame string, px int64) (int, error) {
	args := redislib.SetArgs{Mode: "NX", Get: true, TTL: time.Duration(px) * time.Millisecond}
	return goredisLength(b.client.SetArgs(ctx, name, frame, args).Result())
}

func goredisLength(value string, err error) (int, error) {
	if errors.Is(err, redislib.Nil) {
		return -1, nil
	}
	return len(value), err
}

func (b goredisBare) Eval(ctx context.Context, sha, name string, args []string) error {
	return b.client.EvalSha(ctx, sha, []string{name}, boxed(args)...).Err()
}

func (b goredisBare) SetEval(ctx context.Context, side, frame string, px int64, sha, name string, args []string) error {
	_, err := b.client.Pipelined(ctx, func(pipe redislib.Pipeliner) error {
		pipe.Set(ctx, side, frame, time.Duration(px)*time.Millisecond)
		pipe.EvalSha(ctx, sha, []string{name, side}, boxed(args)...)
		return nil
	})
	return err
}

func boxed(args []string) []any {
	all := make([]any, len(args))
	for i, arg := range args {
		all[i] = arg
	}
	return all
}

func (b goredisBare) Publish(ctx context.Context, channel, message string) error {
	return b.client.Publish(ctx, channel, message).Err()
}

func (b goredisBare) Subscribe(ctx context.Context, channel string, message func()) error {
	sub := b.client.Subscribe(ctx, channel)
	if _, err := sub.Receive(ctx); err != nil {
		return err
	}
	go func() {
		defer sub.Close()
		for {
			if _, err := sub.ReceiveMessage(ctx); err != nil {
				return
			}
			message()
		}
	}()
	context.AfterFunc(ctx, func() { _ = sub.Close() })
	return nil
}
