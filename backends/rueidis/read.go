package rueidis

import (
	"context"
	"errors"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

var lookScript = rueidislib.NewLuaScript(wire.LookScript)

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
	frame, ttl, err := frameAndTTL(lookScript.Exec(ctx, b.line, []string{name}, nil))
	if err != nil {
		return backend.Record{}, err
	}
	return wire.ReadLook(frame, ttl)
}

// lookPatience is how long those who wait outlive a server that can't be reached.
const lookPatience = 5 * time.Second

// observe is a look for those who wait. It outlives a lost connection, on which
// whatever was under way fails, and a short failover.
func (b *Backend) observe(ctx context.Context, channel string) (backend.Record, error) {
	pause, begun := 5*time.Millisecond, b.line.now()
	for {
		record, err := b.look(ctx, channel)
		if err == nil || !passing(err) || b.line.now()-begun > lookPatience {
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
