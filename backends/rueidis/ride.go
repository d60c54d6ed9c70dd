package rueidis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backends/internal/gather"
)

// ride is a command that is sent together with those of other calls. Rueidis
// pipelines by itself, but writes what has come so far whenever its writer gets a
// turn, which is nearly always a single command.
type ride struct {
	ctx     context.Context
	command rueidislib.Completed
	result  chan rueidislib.RedisResult // has room for it
}

var rides = sync.Pool{New: func() any { return &ride{result: make(chan rueidislib.RedisResult, 1)} }}

// ride sends the command with others. It returns when ctx ends, and the command may
// then still be sent. False: it wasn't sent, and is still the caller's.
func (l *line) ride(ctx context.Context, command rueidislib.Completed) (rueidislib.RedisResult, bool) {
	l.calls.Add(1)
	defer l.calls.Add(-1)
	r := rides.Get().(*ride)
	r.ctx, r.command = ctx, command
	l.gatherer.Add(r)
	select {
	case result := <-r.result:
		r.ctx, r.command = nil, rueidislib.Completed{}
		rides.Put(r)
		return result, result.NonRedisError() != errCrew
	case <-ctx.Done(): // the ride is the driver's now
		return rueidislib.NewErrorResult(ctx.Err()), true
	}
}

// drive sends the commands of those who are still there.
func (l *line) drive(together []*ride) {
	crew := crew{boarded: time.Now(), shared: l.shared}
	riders := together[:0]
	commands := make([]rueidislib.Completed, 0, len(together))
	for _, r := range together {
		if err := r.ctx.Err(); err != nil {
			r.result <- rueidislib.NewErrorResult(err)
			continue
		}
		riders = append(riders, r)
		crew.ctxs = append(crew.ctxs, r.ctx)
		commands = append(commands, r.command)
	}
	if len(riders) == 0 {
		return
	}
	var results []rueidislib.RedisResult
	// What the app's client is wrapped in may panic, end the goroutine, or answer
	// too little. Those who wait must not wait for ever, nor the process end.
	defer func() {
		_ = recover()
		for i, r := range riders {
			if i < len(results) {
				r.result <- results[i]
			} else {
				r.result <- rueidislib.NewErrorResult(errNoResult)
			}
		}
	}()
	results = l.Client.DoMulti(&crew, commands...)
	var err error
	for _, result := range results {
		if err = result.NonRedisError(); err != nil {
			break // a connection that was lost halfway has answered the first ones
		}
	}
	if err == errCrew {
		return // says nothing of the connection
	}
	l.note(l.now(), err)
	if err == nil && l.answers.Load() < l.proven {
		l.answers.Add(1) // all came by one connection
	}
}

// crew is the ctx of what is sent together. It doesn't end with that of any of them;
// but rueidis asks for its Err once there is a connection, which may be late, and
// nothing is sent too late. Who watches the app's client may keep it.
type crew struct {
	ctxs    []context.Context
	boarded time.Time
	shared  bool
	passed  atomic.Bool // asked for Err, and sent
}

var (
	errCrew     = errors.New("the call of a command that it was to be sent with has ended")
	errNoResult = errors.New("the client didn't answer a command that it was given with others")
)

func (*crew) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*crew) Done() <-chan struct{}       { return never }

// Err is nil, or errCrew, which means that nothing was sent.
func (c *crew) Err() error {
	if c.passed.Load() {
		return nil
	}
	if time.Since(c.boarded) >= gather.Patience {
		for _, ctx := range c.ctxs {
			if ctx.Err() != nil {
				return errCrew
			}
		}
	}
	c.passed.Store(true)
	return nil
}

// Value is for what watches the app's client: it sees the first one's.
func (c *crew) Value(key any) any {
	if !c.shared {
		return nil
	}
	return c.ctxs[0].Value(key)
}
