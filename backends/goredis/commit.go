package goredis

import (
	"context"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Commit implements [backend.Backend]. It costs one command, with an outcome of
// 8 KiB and more two in one round trip. An outcome may be as large as the server
// takes a value (512 MiB unless proto-max-bulk-len says otherwise), at most
// [MaxOutcome].
func (b *Backend) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	if err := request.Check(); err != nil {
		return err
	}
	if err := b.check(ctx, opCommit, key); err != nil {
		return err
	}
	if len(request.Outcome) > MaxOutcome {
		return &wire.Error{Op: opCommit, Class: backend.ErrTooLarge}
	}
	c := &commitCall{backend: b, ctx: ctx, key: b.layout.Record(key), px: wire.CommitPX(&request)}
	c.request.op = opCommit
	c.frame.data = wire.AppendCommit(nil, &request)
	c.held = notHeld
	if request.LeaseHeld {
		c.held = held
	}
	if wire.Large(&request) {
		c.head = wire.CommitHead(&request)
		c.side = b.layout.Side(key, request.Token)
	}
	if !b.workers.do(ctx, c) {
		return unanswered(ctx, opCommit)
	}
	return c.err
}

// MaxOutcome is the length in bytes of the longest outcome that is sent to the
// server: a longer one might break a limit at which servers close the
// connection, which can't be told from an unknown outcome.
const MaxOutcome = 64 << 20

var (
	held    any = "1"
	notHeld any = "0"
)

// commitCall is one commit with all that its commands need.
type commitCall struct {
	backend *Backend
	ctx     context.Context
	key     string
	px      int64
	held    any
	request request
	frame   payload
	scripter
	keys [2]string
	argv [4]any

	// Where the outcome is large.
	head int // length of the frame without the outcome
	side string

	err error
}

func (c *commitCall) run() {
	publish := c.backend.publish(c.ctx)
	c.scripter.client = c.backend.client
	c.keys = [2]string{c.key, c.side}
	c.argv = [4]any{&c.frame, c.px, publish, c.held}
	send := c.send
	if c.head > 0 {
		send = c.sendLarge
	}
	for {
		c.frame.writes = 0
		reply, err := send()
		if err == nil {
			if err = wire.ReadCommit(reply); err != nil {
				err = &wire.Error{Op: opCommit, Err: err}
			}
			c.err = err
			return
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, c.frame.writes)
		if !again {
			c.err = err
			return
		}
	}
}

func (c *commitCall) send() (int64, error) {
	c.argv[0], c.scripter.script = &c.frame, commitScript
	return commitScript.Run(c.ctx, &c.scripter, c.keys[:1], c.argv[:]...).Int64()
}

// sendLarge sends the outcome ahead, under a key of its own, so that no script
// copies it; and as other outcomes where that doesn't work out.
func (c *commitCall) sendLarge() (int64, error) {
	c.argv[0], c.scripter.script = c.frame.data[:c.head], commitLargeScript
	side := redislib.NewStatusCmd(c.ctx, "set", c.side, &c.frame, "px", wire.SidePX)
	run := redislib.NewCmd(c.ctx, "evalsha", commitLargeScript.sha, 2, c.keys[0], c.keys[1],
		c.argv[0], c.argv[1], c.argv[2], c.argv[3])
	run.SetFirstKeyPos(3)
	pipe := c.backend.client.Pipeline()
	_ = pipe.Process(c.ctx, onceStatus{side})
	_ = pipe.Process(c.ctx, onceCmd{run})
	_, _ = pipe.Exec(c.ctx)
	if redislib.HasErrorPrefix(run.Err(), "NOSCRIPT") {
		run = commitLargeScript.Eval(c.ctx, &c.scripter, c.keys[:], c.argv[:]...)
	}
	reply, err := run.Int64()
	for _, refused := range []string{"TRYAGAIN", "CROSSSLOT", "MOVED", "ASK"} {
		if redislib.HasErrorPrefix(err, refused) {
			return c.send()
		}
	}
	if err == nil && reply == wire.CommitSideMissing {
		return c.send()
	}
	return reply, err
}
