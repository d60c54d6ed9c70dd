package rivals

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
)

// Rueidislock is github.com/redis/rueidis/rueidislock v1.0.79, with GET and SET by hand.
//
// Usage: rueidislock's README, the program at its top: KeyMajority 1, because
// there is one Redis, and NoLoopTracking, because it is 7.0.5 or later; the rest
// as it comes (validity 5 s, extended every 2.5 s), but for TryNextAfter, 1 s in
// place of 20 ms: with one key there is no next one to try, and a lock whose reply
// takes longer is taken back without waking its own caller, which then waits until
// its ctx ends. Among 100 callers in two processes one sometimes isn't woken at
// all; so a caller asks again after five seconds. GET and SET go through a rueidis
// client of the app's own, with its defaults. The action gets the lock's ctx.
//
//	waits?          yes, woken by the invalidation of the lock's key; one after
//	                the other gets the lock
//	error replay?   no: the next caller runs again
//	fencing?        no; the action's ctx is cancelled when the lock is lost, and
//	                the SET uses that ctx, which leaves a gap
//	holder crash?   the lock ends with its validity (5 s); then the next caller
//	                runs again
//	result kept?    by hand, under a second key
var Rueidislock = Rival{
	Name: "rueidislock", Client: "rueidis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do { return openRueidislock(tb, addr, dial).locked },
}

// RueidislockGetFirst is the same by somebody who cares for replays: it looks for
// the answer before it asks for the lock, and looks again when it has it. A
// replay is one round trip, a fresh call five.
var RueidislockGetFirst = Rival{
	Name: "rueidislock-get-first", Client: "rueidis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		l := openRueidislock(tb, addr, dial)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			answer, err := l.get(ctx, key)
			if !rueidis.IsRedisNil(err) {
				return answer, err
			}
			return l.locked(ctx, key, action)
		}
	},
}

// RueidislockCached is the same with the first look through the client's cache,
// which rueidis' README has under "Server-Assisted Client-Side Caching": DoCache,
// for a minute. A replay costs no command, a fresh call eight in five round trips,
// because a look that misses fills the cache. The look under the lock is a GET,
// because the cache may not know yet.
var RueidislockCached = Rival{
	Name: "rueidislock-cached", Client: "rueidis", Remembers: true, Keeps: true, Waits: true, Across: true,
	Open: func(tb testing.TB, addr string, dial clients.Dial) Do {
		l := openRueidislock(tb, addr, dial)
		return func(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
			answer, err := l.client.DoCache(ctx, l.client.B().Get().Key("answer:"+key).Cache(), time.Minute).AsBytes()
			if !rueidis.IsRedisNil(err) {
				return answer, err
			}
			return l.locked(ctx, key, action)
		}
	},
}

type rueidisLocked struct {
	locker rueidislock.Locker
	client rueidis.Client
}

func openRueidislock(tb testing.TB, addr string, dial clients.Dial) rueidisLocked {
	tb.Helper()
	option := rueidis.ClientOption{InitAddress: []string{addr}}
	if dial != nil {
		option.DialCtxFn = func(ctx context.Context, dst string, _ *net.Dialer, _ *tls.Config) (net.Conn, error) {
			return dial(ctx, "tcp", dst)
		}
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	locker, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: option, KeyMajority: 1, NoLoopTracking: true, TryNextAfter: time.Second,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(locker.Close)
	return rueidisLocked{locker, client}
}

func (l rueidisLocked) locked(ctx context.Context, key string, action func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, unlock, err := l.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()

	answer, err := l.get(ctx, key)
	if !rueidis.IsRedisNil(err) {
		return answer, err
	}
	if answer, err = action(ctx); err != nil {
		return nil, err
	}
	set := l.client.B().Set().Key("answer:" + key).Value(rueidis.BinaryString(answer)).Ex(keptFor).Build()
	return answer, l.client.Do(ctx, set).Error()
}

// askAgain is the validity of the locks.
const askAgain = 5 * time.Second

// lock is WithContext for as long as ctx lasts, but asks again when it wasn't
// woken.
func (l rueidisLocked) lock(ctx context.Context, key string) (held context.Context, unlock context.CancelFunc, err error) {
	for {
		asking, giveUp := context.WithCancel(ctx)
		timer := time.AfterFunc(askAgain, giveUp)
		held, unlock, err := l.locker.WithContext(asking, key)
		if timer.Stop() {
			if err != nil {
				giveUp()
				return nil, nil, err
			}
			return held, func() { unlock(); giveUp() }, nil
		}
		if err == nil {
			unlock() // it came too late: its ctx has ended with asking
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
}

func (l rueidisLocked) get(ctx context.Context, key string) ([]byte, error) {
	return l.client.Do(ctx, l.client.B().Get().Key("answer:"+key).Build()).AsBytes()
}
