package redigo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/redigo"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what must happen at once or soon.
const patience = 10 * time.Second

// newPool makes a pool as applications have it, and closes it with the test.
func newPool(tb testing.TB, addr string, options ...redis.DialOption) *redis.Pool {
	tb.Helper()
	pool := &redis.Pool{
		MaxIdle: 32,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", addr, options...)
		},
	}
	tb.Cleanup(func() { _ = pool.Close() })
	return pool
}

// open makes a backend with a prefix of the test's own, and closes it with the
// test.
func open(tb testing.TB, pool *redis.Pool) *redigo.Backend {
	tb.Helper()
	return openAt(tb, pool, redistest.Prefix(tb))
}

func openAt(tb testing.TB, pool *redis.Pool, prefix string) *redigo.Backend {
	tb.Helper()
	b, err := redigo.New(pool, redigo.Options{Prefix: prefix})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Close() })
	if strings.HasPrefix(tb.Name(), "TestRiding/") {
		redigo.Ride(b)
	}
	return b
}

var tokens atomic.Uint64

func newToken() backend.Token {
	n := tokens.Add(1)
	return backend.Token{0: 1, 8: byte(n >> 56), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}

func claiming(token backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: token, Lease: 30 * time.Second, Keep: time.Hour, Fence: uint64(time.Now().UnixMicro()),
		Fingerprint: []byte("fingerprint"), Metadata: []byte("metadata"),
	}
}

func completing(token backend.Token, outcome string) backend.CommitRequest {
	return backend.CommitRequest{Token: token, Ending: backend.Complete, Outcome: []byte(outcome), Retention: time.Hour}
}

func take(tb testing.TB, b *redigo.Backend, key string) backend.Record {
	tb.Helper()
	record, err := b.Claim(tb.Context(), key, claiming(newToken()))
	if err != nil || record.State != backend.Claimed {
		tb.Fatalf("claim: %+v, %v", record, err)
	}
	return record
}

func complete(tb testing.TB, b *redigo.Backend, key string, record backend.Record, outcome string) {
	tb.Helper()
	request := completing(record.Token, outcome)
	request.Fingerprint, request.Metadata = record.Fingerprint, record.Metadata
	request.Attempt, request.Fence = record.Attempt, record.Fence
	if err := b.Commit(tb.Context(), key, request); err != nil {
		tb.Fatalf("commit: %v", err)
	}
}

func fetch(tb testing.TB, b *redigo.Backend, key string) backend.Record {
	tb.Helper()
	record, err := b.Fetch(tb.Context(), key)
	if err != nil {
		tb.Fatalf("fetch: %v", err)
	}
	return record
}

// until fails the test unless the condition comes to hold.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("still not after %v: %s", patience, what)
		}
	}
}

type waited struct {
	record backend.Record
	err    error
}

// wait starts a Wait in a goroutine of its own.
func wait(tb testing.TB, b *redigo.Backend, key string, token backend.Token) <-chan waited {
	result := make(chan waited, 1)
	ctx, cancel := context.WithTimeout(tb.Context(), 3*patience)
	go func() {
		defer cancel()
		record, err := b.Wait(ctx, key, token)
		result <- waited{record, err}
	}()
	return result
}

// woken expects a Wait to return a record in the state.
func woken(tb testing.TB, result <-chan waited, state backend.State) backend.Record {
	tb.Helper()
	select {
	case w := <-result:
		if w.err != nil || w.record.State != state {
			tb.Fatalf("the wait returned %+v, %v, want %v", w.record, w.err, state)
		}
		return w.record
	case <-time.After(patience):
		tb.Fatalf("the wait hasn't returned after %v", patience)
		return backend.Record{}
	}
}

// subscribers is how many subscriptions the server has to the channel of a key.
func subscribers(tb testing.TB, addr, prefix string) int {
	tb.Helper()
	return len(redistest.Do(tb, addr, "PUBSUB", "CHANNELS", prefix+"*").([]any))
}

// oneOf tells whether err is that of the backend's classes and no other.
func oneOf(err, class error) error {
	for _, other := range []error{
		backend.ErrSuperseded, backend.ErrTooLarge, backend.ErrInvalid, backend.ErrCorrupt,
		backend.ErrClosed, backend.ErrNotApplied, backend.ErrPermanent,
	} {
		if errors.Is(err, other) != (other == class) {
			return fmt.Errorf("error %q: is %q %v", err, other, errors.Is(err, other))
		}
	}
	return nil
}
