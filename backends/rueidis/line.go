package rueidis

import (
	"context"
	"errors"
	"math"
	"reflect"
	"sync/atomic"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backends/internal/gather"
)

const (
	// fresh is how long after an answer of the server a call trusts the
	// connection enough to use it on its own goroutine. A connection that is lost
	// in that time, to a server that is silent when it is dialled again, is what
	// such a call could be stuck in.
	fresh = 20 * time.Millisecond
	// crowd is how many calls do so at once: a quarter of rueidis' queue, which
	// blocks when it is full.
	crowd = 256
	// provenEach is how many answers for each of the client's connections, without
	// one that was lost, make it all but certain that all of them are open: rueidis
	// opens one on its first use, and takes one at random.
	provenEach = 32
	// mostProven is how many answers do where it isn't known, or large, how many
	// connections there are.
	mostProven = 4096
)

// provenBy is how many answers prove the connections to one server, by
// ClientOption.PipelineMultiplex. Where that is zero rueidis makes four at most.
func provenBy(multiplex int) int64 {
	if multiplex == 0 {
		multiplex = 2
	}
	return min(int64(provenEach)<<max(multiplex, 0), mostProven)
}

// line is the client with calls that return when their ctx ends.
//
// A rueidis call on an open, pipelining connection does that by itself. It does
// not where it must first connect (it waits for the handshake, or for another
// call that does, up to the dial timeout), where the queue of the connection is
// full, and with a deadline on a connection that isn't pipelining yet. All of
// these go with a server that has not answered for a moment. So a call runs on
// its own goroutine only while answers are coming in, where the price of another
// goroutine matters; otherwise it is handed to one that may be left behind.
type line struct {
	rueidislib.Client
	shared bool // with the app: it may not be pipelining, and it may retry

	begin   time.Time
	proven  int64        // so many answers prove the connections
	heard   atomic.Int64 // when the server last answered, by now
	answers atomic.Int64 // since a connection was lost, at least as long as they are below that
	calls   atomic.Int64 // under way

	gatherer *gather.Gatherer[*ride] // nil for a cluster
	// How many calls under way make claims, and scripts, be sent together, where the
	// last answer is as fresh as that.
	claims, scripts int64
	fresh           time.Duration
}

func newLine(client rueidislib.Client, shared bool) *line {
	l := &line{Client: client, shared: shared, begin: time.Now(), fresh: fresh, proven: mostProven}
	l.claims, l.scripts = gather.Crowd(true), gather.Crowd(false)
	l.heard.Store(int64(-time.Hour))
	// In a cluster what is sent together may go to several servers, and a silent one
	// would keep the answers of all.
	if client.Mode() != rueidislib.ClientModeCluster {
		l.gatherer = gather.New(l.drive)
	}
	return l
}

// now is the time since the line was made, by the monotonic clock.
func (l *line) now() time.Duration { return time.Since(l.begin) }

// lost notes that a connection was lost: the next call may have to connect.
func (l *line) lost() {
	l.answers.Store(0)
	l.doubt()
}

// doubt notes that the server has not answered.
func (l *line) doubt() { l.heard.Store(int64(-time.Hour)) }

// note takes what became of a call that began then: err is what is no reply.
func (l *line) note(begun time.Duration, err error) {
	switch {
	case err == nil:
		l.heard.Store(int64(begun))
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		l.doubt()
	default:
		l.lost()
	}
}

// trusted tells whether a call may use any connection on its own goroutine.
func (l *line) trusted(ctx context.Context, now time.Duration) bool {
	return ctx.Done() == nil || l.answers.Load() >= l.proven && l.answering(now)
}

// answering tells whether answers are coming in.
func (l *line) answering(now time.Duration) bool {
	return now-time.Duration(l.heard.Load()) < fresh && l.calls.Load() < crowd
}

// Do sends one command on the pipelining connections.
func (l *line) Do(ctx context.Context, command rueidislib.Completed) rueidislib.RedisResult {
	return l.send(ctx, command, l.scripts)
}

// alone is a line whose commands are never sent with others.
type alone struct{ *line }

// Do sends one command.
func (l alone) Do(ctx context.Context, command rueidislib.Completed) rueidislib.RedisResult {
	return l.send(ctx, command, math.MaxInt64)
}

// send is Do, in company where so many calls are under way and answers come in:
// otherwise who sends for others may have to connect.
func (l *line) send(ctx context.Context, command rueidislib.Completed, company int64) rueidislib.RedisResult {
	piped, now := command.ToPipe(), l.now()
	if l.gatherer != nil && l.calls.Load() >= company && now-time.Duration(l.heard.Load()) < l.fresh {
		if result, over := l.ride(ctx, piped); over {
			return result
		}
	}
	if l.trusted(ctx, now) {
		return l.do(l.calm(ctx), piped, now)
	}
	result, err := leave(ctx, func() rueidislib.RedisResult { return l.do(unhurried{ctx}, piped, now) })
	if err != nil {
		return rueidislib.NewErrorResult(err)
	}
	return result
}

func (l *line) do(ctx context.Context, command rueidislib.Completed, begun time.Duration) rueidislib.RedisResult {
	l.calls.Add(1)
	result := l.Client.Do(ctx, command)
	l.calls.Add(-1)
	err := result.NonRedisError()
	l.note(begun, err)
	if err == nil && l.answers.Load() < l.proven {
		l.answers.Add(1)
	}
	return result
}

// DoMulti sends some commands on one of the pipelining connections.
func (l *line) DoMulti(ctx context.Context, commands ...rueidislib.Completed) []rueidislib.RedisResult {
	for i := range commands {
		commands[i] = commands[i].ToPipe()
	}
	if l.trusted(ctx, l.now()) {
		return l.doMulti(l.calm(ctx), commands)
	}
	results, err := leave(ctx, func() []rueidislib.RedisResult { return l.doMulti(unhurried{ctx}, commands) })
	if err != nil {
		results = make([]rueidislib.RedisResult, len(commands))
		for i := range results {
			results[i] = rueidislib.NewErrorResult(err)
		}
	}
	return results
}

func (l *line) doMulti(ctx context.Context, commands []rueidislib.Completed) []rueidislib.RedisResult {
	l.calls.Add(1)
	results := l.Client.DoMulti(ctx, commands...)
	l.calls.Add(-1)
	// A connection that was lost halfway has answered the first ones.
	l.note(l.now(), results[len(results)-1].NonRedisError())
	return results
}

// recall asks the client-side cache, and the server where that has nothing.
// Rueidis always takes the same connection for a key; filled: it has been used
// for this one.
func (l *line) recall(ctx context.Context, command rueidislib.Cacheable, ttl time.Duration, filled bool) rueidislib.RedisResult {
	begun := l.now()
	if filled && l.answering(begun) || l.trusted(ctx, begun) {
		return l.doCache(l.calm(ctx), command, ttl, begun)
	}
	result, err := leave(ctx, func() rueidislib.RedisResult { return l.doCache(unhurried{ctx}, command, ttl, begun) })
	if err != nil {
		return rueidislib.NewErrorResult(err)
	}
	return result
}

func (l *line) doCache(ctx context.Context, command rueidislib.Cacheable, ttl, begun time.Duration) rueidislib.RedisResult {
	if l.shared {
		ctx = &limited{Context: ctx}
	}
	l.calls.Add(1)
	result := l.Client.DoCache(ctx, command, ttl)
	l.calls.Add(-1)
	l.note(begun, result.NonRedisError())
	return result
}

// leave runs the call on a goroutine of its own and leaves it there when the ctx
// ends.
func leave[T any](ctx context.Context, call func() T) (result T, err error) {
	if err := ctx.Err(); err != nil {
		return result, err
	}
	answer := make(chan T, 1)
	go func() { answer <- call() }()
	select {
	case result = <-answer:
		return result, nil
	case <-ctx.Done():
		return result, ctx.Err()
	}
}

func isNil(client rueidislib.Client) bool {
	if client == nil {
		return true
	}
	v := reflect.ValueOf(client)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
