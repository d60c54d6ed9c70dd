package redigo_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestNewRefuses(t *testing.T) {
	dial := func() (redis.Conn, error) { return nil, errors.New("never dialled") }
	for name, c := range map[string]struct {
		pool    *redis.Pool
		options redigo.Options
		names   string
	}{
		"nil pool":        {nil, redigo.Options{}, "pool"},
		"pool can't dial": {&redis.Pool{}, redigo.Options{}, "pool.DialContext"},
		"long prefix":     {&redis.Pool{Dial: dial}, redigo.Options{Prefix: strings.Repeat("p", 65)}, "Options.Prefix"},
		"braces":          {&redis.Pool{Dial: dial}, redigo.Options{Prefix: "a{b}"}, "Options.Prefix"},
	} {
		b, err := redigo.New(c.pool, c.options)
		if b != nil || !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v, want an ErrInvalid that names %s", name, err, c.names)
		}
	}
}

// Neither New nor Close touches the pool.
func TestPoolStaysTheCallers(t *testing.T) {
	pool := newPool(t, redistest.Address(t))
	b := open(t, pool)
	if n := pool.ActiveCount(); n != 0 {
		t.Errorf("New opened %d connections", n)
	}
	take(t, b, "key")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	conn := pool.Get()
	defer conn.Close()
	if _, err := conn.Do("PING"); err != nil {
		t.Errorf("the pool doesn't work after Close: %v", err)
	}
}

func TestPoolWithDialAlone(t *testing.T) {
	addr := redistest.Address(t)
	b := open(t, &redis.Pool{MaxIdle: 4, Dial: func() (redis.Conn, error) { return redis.Dial("tcp", addr) }})
	record := take(t, b, "key")
	result := wait(t, b, "key", record.Token)
	complete(t, b, "key", record, "outcome")
	if got := woken(t, result, backend.Completed); string(got.Outcome) != "outcome" {
		t.Errorf("the waiter got %q", got.Outcome)
	}
}

func TestCtxThatCanNotEnd(t *testing.T) {
	b := open(t, newPool(t, redistest.Address(t)))
	ctx := context.Background()
	token := newToken()
	if _, err := b.Claim(ctx, "key", claiming(token)); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(ctx, "key", completing(token, "outcome")); err != nil {
		t.Fatal(err)
	}
	if record, err := b.Fetch(ctx, "key"); err != nil || string(record.Outcome) != "outcome" {
		t.Fatal(record, err)
	}
	if err := b.Forget(ctx, "key"); err != nil {
		t.Fatal(err)
	}
	if record, err := b.Fetch(ctx, "key"); err != nil || !record.Unknown() {
		t.Fatal(record, err)
	}
}

func TestOutcomesOfAllSizes(t *testing.T) {
	b := open(t, newPool(t, redistest.Address(t)))
	for _, size := range []int{0, 1, 100, 8<<10 - 1, 8 << 10, 100_000, backend.MaxOutcome, 5 << 20} {
		outcome := strings.Repeat("o", size)
		_ = b.Forget(t.Context(), "key")
		record := take(t, b, "key")
		complete(t, b, "key", record, outcome)
		complete(t, b, "key", record, outcome) // once more is the same
		got := fetch(t, b, "key")
		if string(got.Outcome) != outcome || string(got.Fingerprint) != "fingerprint" || string(got.Metadata) != "metadata" {
			t.Errorf("size %d: outcome of %d bytes, fingerprint %q, metadata %q", size, len(got.Outcome), got.Fingerprint, got.Metadata)
		}
		if err := b.Commit(t.Context(), "key", completing(record.Token, outcome+"x")); !errors.Is(err, backend.ErrSuperseded) {
			t.Errorf("size %d: another outcome: %v", size, err)
		}
	}
	record := take(t, b, "too large")
	err := b.Commit(t.Context(), "too large", completing(record.Token, strings.Repeat("o", redigo.MaxOutcome+1)))
	if err := oneOf(err, backend.ErrTooLarge); err != nil {
		t.Error(err)
	}
}
