package rueidis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	rueidislib "github.com/redis/rueidis"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/rueidis"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Rueidis puts refreshes of the topology off by up to a second, and closes
		// connections to former nodes after five.
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"))
}

// option is how the tests connect to a server.
func option(addr string) rueidislib.ClientOption {
	return rueidislib.ClientOption{InitAddress: []string{addr}}
}

// open makes a backend that is closed with the test.
func open(tb testing.TB, client rueidislib.ClientOption, options rueidis.Options) *rueidis.Backend {
	tb.Helper()
	b, err := rueidis.New(client, options)
	if err != nil {
		tb.Fatal(err)
	}
	if together {
		rueidis.Together(b)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return b
}

// client makes a client as an app would, closed with the test.
func client(tb testing.TB, option rueidislib.ClientOption) rueidislib.Client {
	tb.Helper()
	c, err := rueidislib.NewClient(option)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// fromClient makes a backend on an app's client.
func fromClient(tb testing.TB, c rueidislib.Client, options rueidis.Options) *rueidis.Backend {
	tb.Helper()
	b, err := rueidis.NewFromClient(c, options)
	if err != nil {
		tb.Fatal(err)
	}
	if together {
		rueidis.Together(b)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return b
}

// prefixed are options with keys that no other test uses.
func prefixed(tb testing.TB) rueidis.Options {
	return rueidis.Options{Prefix: redistest.Prefix(tb)}
}

func token() (t backend.Token) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

func taking(t backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: t, Lease: 30 * time.Second, Keep: time.Hour, Fence: uint64(time.Now().UnixMicro()),
	}
}

func completing(t backend.Token, outcome string) backend.CommitRequest {
	return backend.CommitRequest{
		Token: t, Ending: backend.Complete, Outcome: []byte(outcome), Retention: time.Hour,
	}
}

// within is a ctx that bounds one call.
func within(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	tb.Cleanup(cancel)
	return ctx
}

// take claims a key that is there to be taken.
func take(tb testing.TB, b backend.Backend, key string, request backend.ClaimRequest) backend.Record {
	tb.Helper()
	record, err := b.Claim(within(tb), key, request)
	if err != nil {
		tb.Fatalf("Claim: %v", err)
	}
	if record.State != backend.Claimed || record.Token != request.Token {
		tb.Fatalf("Claim returned %v by %x, want the key", record.State, record.Token)
	}
	return record
}

// complete takes the key and commits the outcome.
func complete(tb testing.TB, b backend.Backend, key, outcome string) {
	tb.Helper()
	t := token()
	take(tb, b, key, taking(t))
	if err := b.Commit(within(tb), key, completing(t, outcome)); err != nil {
		tb.Fatalf("Commit: %v", err)
	}
}

// replay claims a completed key.
func replay(tb testing.TB, b backend.Backend, key, outcome string) {
	tb.Helper()
	if err := replays(within(tb), b, key, outcome); err != nil {
		tb.Fatal(err)
	}
}

func replays(ctx context.Context, b backend.Backend, key, outcome string) error {
	record, err := b.Claim(ctx, key, taking(token()))
	switch {
	case err != nil:
		return fmt.Errorf("Claim: %w", err)
	case record.State != backend.Completed || string(record.Outcome) != outcome:
		return fmt.Errorf("Claim returned %v with %q, want completed with %q", record.State, record.Outcome, outcome)
	}
	return nil
}

// eventually tries until it holds.
func eventually(tb testing.TB, what string, holds func() error) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// is fails unless the error is of a class.
func is(tb testing.TB, what string, err, class error) {
	tb.Helper()
	if !errors.Is(err, class) {
		tb.Fatalf("%s returned %v, want an error that is %v", what, err, class)
	}
}
