// Package clients opens the Redis clients that are measured: a backend on each,
// and the same client bare, for the floor below it.
package clients

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// MaxGoroutines is how many goroutines at most use a client: pools are made
// large enough to keep a connection idle that one of them has used.
const MaxGoroutines = 128

// TTL is how long raw commands let a key live.
const TTL = 24 * time.Hour

// Dial connects to a server.
type Dial func(ctx context.Context, network, addr string) (net.Conn, error)

// Client is one way to use Redis.
type Client struct {
	// Name of the package below backends, with what is special: "rueidis-nocache".
	Name string
	// Caches tells that replays can be answered by a cache in the client.
	Caches bool
	// Open makes a backend on a client of its own, which the test closes. Dial nil:
	// the client's own.
	Open func(tb testing.TB, addr string, dial Dial) backend.Backend
	// Bare opens the client that the backend uses, set up as the backend does it.
	Bare func(tb testing.TB, addr string) Bare
	// Raw opens the client as an app does that has read no further than its
	// README. For most it is Bare.
	Raw func(tb testing.TB, addr string) Bare
}

// All are the clients, in the order of the tables.
var All = []Client{
	{Name: "goredis", Open: openGoredis, Bare: bareGoredis, Raw: bareGoredis},
	{Name: "rueidis", Caches: true, Open: openRueidis, Bare: bareRueidis, Raw: rawRueidis},
	{Name: "rueidis-nocache", Open: openRueidisNoCache, Bare: bareRueidis, Raw: rawRueidis},
	{Name: "redigo", Open: openRedigo, Bare: bareRedigo, Raw: bareRedigo},
}

// Distinct are the clients without the second way to use one of them.
func Distinct() []Client { return []Client{All[0], All[1], All[3]} }

// Named is the client of that name; false where there is none.
func Named(name string) (Client, bool) {
	for _, client := range All {
		if client.Name == name {
			return client, true
		}
	}
	return Client{}, false
}

// Bare is a client with the few commands that floors and the protocol are made
// of. All methods may be called at once.
type Bare interface {
	// Set is SET key value PX.
	Set(ctx context.Context, key, value string) error
	// Get is GET; a nil reply is the length -1.
	Get(ctx context.Context, key string) (length int, err error)
	// Claim is SET name frame NX GET PX; a nil reply is the length -1.
	Claim(ctx context.Context, name, frame string, px int64) (length int, err error)
	// Eval is EVALSHA of a script with one key.
	Eval(ctx context.Context, sha, name string, args []string) error
	// SetEval is, in one pipeline, SET side frame PX and EVALSHA of a script with
	// two keys.
	SetEval(ctx context.Context, side, frame string, px int64, sha, name string, args []string) error
	// Publish is PUBLISH.
	Publish(ctx context.Context, channel, message string) error
	// Subscribe calls message for each message of a channel, until ctx ends. It
	// returns when the server has confirmed the subscription.
	Subscribe(ctx context.Context, channel string, message func()) error
}

// Warm lets a backend connect and load its scripts.
func Warm(tb testing.TB, store backend.Backend) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	for _, size := range []int{128, 16 << 10} {
		request := backend.ClaimRequest{Token: token(), Lease: time.Second, Keep: time.Second, Fence: 1}
		key := "warm-" + string(request.Token[:])
		record, err := store.Claim(ctx, key, request)
		if err != nil {
			tb.Fatal(err)
		}
		end := backend.CommitRequest{
			Token: request.Token, Ending: backend.Complete, Outcome: make([]byte, size), Retention: time.Second,
			LeaseHeld: true, Attempt: record.Attempt, Fence: record.Fence,
		}
		if err := store.Commit(ctx, key, end); err != nil {
			tb.Fatal(err)
		}
	}
}

// Trust lets a backend come to its steady state: the rueidis backend trusts its
// connections after 128 answers, with more of them after up to 4,096.
func Trust(tb testing.TB, store backend.Backend) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	defer cancel()
	for range 4200 {
		if _, err := store.Fetch(ctx, "warm"); err != nil {
			tb.Fatal(err)
		}
	}
}

func token() (token backend.Token) {
	_, _ = rand.Read(token[:])
	return token
}
