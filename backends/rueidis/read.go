package rueidis

import (
	"context"
	"errors"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Fetch implements backend.Backend.
func (b *Backend) Fetch(ctx context.Context, key string) (backend.Record, error) {
	const op = "rueidis: fetch"
	if err := b.ready(ctx, op, key); err != nil {
		return backend.Record{}, err
	}
	if _, err := b.server(ctx); err != nil {
		return backend.Record{}, b.failure(ctx, op, err)
	}
	record, err := b.look(ctx, b.layout.Record(key))
	return record, b.failure(ctx, op, err)
}

// Wait implements backend.Backend.
func (b *Backend) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	const op = "rueidis: wait"
	if err := b.ready(ctx, op, key); err != nil {
		return backend.Record{}, err
	}
	if _, err := b.server(ctx); err != nil {
		return backend.Record{}, b.failure(ctx, op, err)
	}
	record, err := b.hub.Wait(ctx, b.layout.Channel(key), token)
	record.Remaining = 0
	return record, b.failure(ctx, op, err)
}

// look reads the record from the server.
func (b *Backend) look(ctx context.Context, name string) (backend.Record, error) {
	frame, ttl, err := frameAndTTL(b.eval(ctx, lookScript, []string{name}, nil))
	if err != nil {
		return backend.Record{}, err
	}
	return wire.ReadLook(frame, ttl)
}

// lookPatience is how long those who wait outlive a server that fails.
const lookPatience = 5 * time.Second

// observe is a look for those who wait. It outlives a lost connection, on which
// whatever was under way fails, and a short failover.
func (b *Backend) observe(ctx context.Context, channel string) (backend.Record, error) {
	pause, failing := 5*time.Millisecond, time.Duration(0)
	for {
		record, err := b.look(ctx, channel)
		if err == nil || !passing(err) {
			return record, err
		}
		// Counted from the first failure: it may have taken long to be one.
		now := b.line.now()
		if failing == 0 {
			failing = now
		}
		if now-failing > lookPatience {
			return record, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pause = min(2*pause, 500*time.Millisecond)
		case <-ctx.Done():
			timer.Stop()
			return record, err
		}
	}
}

// passing tells whether another try may help.
func passing(err error) bool {
	class := classify(err)
	return class == nil && !errors.Is(err, backend.ErrCorrupt) || class == backend.ErrNotApplied
}

// frameAndTTL reads the reply of the scripts that answer {frame, PTTL}.
func frameAndTTL(result rueidislib.RedisResult) (frame string, ttl int64, err error) {
	reply, err := result.ToArray()
	if err != nil {
		return "", 0, err
	}
	if len(reply) != 2 {
		return "", 0, errors.New("script answered something else than a frame and a TTL")
	}
	if frame, err = reply[0].ToString(); err != nil {
		return "", 0, err
	}
	ttl, err = reply[1].AsInt64()
	return frame, ttl, err
}
