package rivals

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Do has an action run once for a key, as far as the rival promises it.
type Do func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error)

// Rival is one way to have an action run once. What it promises is tested, and so
// is what it doesn't.
type Rival struct {
	Name string
	// Client is the one that it uses, by its name in package clients: its floor.
	// Empty: it works in one process, without a server.
	Client string
	// Open sets it up as its README does; the test closes it. Dial nil: the client's
	// own. Rivals without a client get neither address nor dial.
	Open func(tb testing.TB, addr string, dial clients.Dial) Do

	Remembers bool // a second call, later, doesn't run the action
	Keeps     bool // and gets the first one's answer
	Errors    bool // also where that was an error
	Waits     bool // callers at the same time, in one process, run once and get one answer
	Across    bool // and in several processes
}

// All are the rivals and ours, in the order of the tables. HTTP middleware is in
// [Middlewares].
var All = slices.Concat(Reprise, []Rival{
	Redislock, RedislockGetFirst, Redsync, RedsyncGetFirst, Rueidislock, RueidislockGetFirst, RueidislockCached,
	RedisCache, Singleflight, Watermill, WatermillByID,
})

// keptFor is how long answers are kept by all of them.
const keptFor = 24 * time.Hour

// newGoredis is the go-redis client as package clients opens it for the floor.
func newGoredis(tb testing.TB, addr string, dial clients.Dial) *redis.Client {
	tb.Helper()
	client := redis.NewClient(&redis.Options{
		Addr: addr, Dialer: dial,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	tb.Cleanup(func() { _ = client.Close() })
	return client
}
