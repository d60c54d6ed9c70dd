package rueidis

import (
	"context"
	"sync"

	rueidislib "github.com/redis/rueidis"
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

// drive sends the commands of those who are still there. It isn't bound to the ctx
// of any of them. What watches the app's client sees it as the first one's.
func (l *line) drive(together []*ride) {
	riders := together[:0]
	commands := make([]rueidislib.Completed, 0, len(together))
	for _, r := range together {
		if err := r.ctx.Err(); err != nil { // nothing is sent too late
			r.result <- rueidislib.NewErrorResult(err)
			continue
		}
		riders = append(riders, r)
		commands = append(commands, r.command)
	}
	if len(riders) == 0 {
		return
	}
	ctx := context.Background()
	if l.shared {
		ctx = context.WithoutCancel(riders[0].ctx)
	}
	results := l.Client.DoMulti(ctx, commands...)
	err := results[0].NonRedisError()
	l.note(l.now(), err)
	if err == nil && l.answers.Load() < proven {
		l.answers.Add(int64(len(results)))
	}
	for i, r := range riders {
		r.result <- results[i]
	}
}
