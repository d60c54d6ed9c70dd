package rueidis

import (
	"context"
	"errors"
	"sync"
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
// then still be sent.
func (l *line) ride(ctx context.Context, command rueidislib.Completed) rueidislib.RedisResult {
	l.calls.Add(1)
	defer l.calls.Add(-1)
	r := rides.Get().(*ride)
	r.ctx, r.command = ctx, command
	l.gatherer.Add(r)
	select {
	case result := <-r.result:
		r.ctx, r.command = nil, rueidislib.Completed{}
		rides.Put(r)
		return result
	case <-ctx.Done(): // the ride is the driver's now
		return rueidislib.NewErrorResult(ctx.Err())
	}
}

// drive sends the commands of those who are still there.
func (l *line) drive(together []*ride) {
	crew := crew{riders: together[:0], boarded: time.Now(), shared: l.shared}
	commands := make([]rueidislib.Completed, 0, len(together))
	for _, r := range together {
		if err := r.ctx.Err(); err != nil {
			r.result <- rueidislib.NewErrorResult(err)
			continue
		}
		crew.riders = append(crew.riders, r)
		commands = append(commands, r.command)
	}
	if len(commands) == 0 {
		return
	}
	results := l.Client.DoMulti(&crew, commands...)
	err := results[0].NonRedisError()
	l.note(l.now(), err)
	if err == nil && l.answers.Load() < l.proven {
		l.answers.Add(1) // all came by one connection
	}
	for i, r := range crew.riders {
		r.result <- results[i]
	}
}

// crew is the ctx of what is sent together. It doesn't end with that of any of them;
// but rueidis asks for its Err once there is a connection, which may be late, and
// nothing is sent too late.
type crew struct {
	riders  []*ride
	boarded time.Time
	shared  bool
}

var errCrew = errors.New("the call of a command that it was to be sent with has ended")

func (*crew) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*crew) Done() <-chan struct{}       { return never }

func (c *crew) Err() error {
	if time.Since(c.boarded) < gather.Patience {
		return nil
	}
	for _, r := range c.riders {
		if r.ctx.Err() != nil {
			return errCrew
		}
	}
	return nil
}

// Value is for what watches the app's client: it sees the first one's.
func (c *crew) Value(key any) any {
	if !c.shared {
		return nil
	}
	return c.riders[0].ctx.Value(key)
}
