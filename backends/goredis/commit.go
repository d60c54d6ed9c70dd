package goredis

import (
	"context"
	"time"

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
	c.held = notHeld
	if request.LeaseHeld {
		c.held = held
	}
	var buffer *wire.Buffer
	if wire.Large(&request) {
		buffer = wire.NewBuffer()
		c.frame.data = buffer.Commit(&request)
		c.head = wire.CommitHead(&request)
		c.side = b.layout.Side(key, request.Token)
	} else {
		c.frame.data = wire.AppendCommit(nil, &request)
	}
	company := alone
	if c.head == 0 && b.mode.Load() == modeSingle && b.loaded[commitScript.number].Load() {
		company = b.commits
	}
	if !b.do(ctx, c, company) {
		return unanswered(ctx, opCommit)
	}
	if c.err == nil {
		c.frame.data, c.front.data = nil, nil // a hook of the app's may have kept the commands
		buffer.Release()
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
	writes  int // of what may have been applied, by the last send
	scripter
	keys [2]string
	argv [4]any
	sent *redislib.Cmd // in company, and not looked at yet

	// Where the outcome is large.
	head  int     // length of the frame without the outcome
	front payload // that part of it
	side  string

	err error
}

func (c *commitCall) first(boarded time.Time) redislib.Cmder {
	c.frame.ctx, c.frame.boarded = c.ctx, boarded
	c.sent = redislib.NewCmd(c.ctx, append(c.args[:0], "evalsha", commitScript.sha, 1, c.key, &c.frame, c.px, publishPlain, c.held)...)
	c.sent.SetFirstKeyPos(3)
	return onceCmd{c.sent}
}

func (c *commitCall) rode() bool {
	reply, err := c.sent.Int64()
	if err == nil {
		c.answered(reply)
	} else if redislib.HasErrorPrefix(err, "NOSCRIPT") {
		c.sent = nil
	}
	return err == nil
}

func (c *commitCall) lost() {
	c.sent, c.request.uncertain = nil, c.frame.writes > 0
}

// answered takes the reply of a script.
func (c *commitCall) answered(reply int64) {
	if err := wire.ReadCommit(reply); err != nil {
		c.err = &wire.Error{Op: opCommit, Err: err}
	}
}

func (c *commitCall) Run() {
	c.scripter.client, c.scripter.loaded = c.backend.client, &c.backend.loaded
	c.keys = [2]string{c.key, c.side}
	for {
		reply, err := c.send()
		if err == nil {
			c.answered(reply)
			return
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, c.writes)
		if !again {
			c.err = err
			return
		}
	}
}

func (c *commitCall) send() (reply int64, err error) {
	if cmd := c.sent; cmd != nil {
		c.sent, c.writes = nil, c.frame.writes
		return cmd.Int64()
	}
	c.writes = 0
	publish, err := c.backend.publish(c.ctx)
	if err != nil {
		return 0, err
	}
	c.argv = [4]any{nil, c.px, publish, c.held}
	if c.head > 0 {
		reply, settled, err := c.sendLarge()
		if settled || err != nil {
			return reply, err
		}
	}
	c.frame.writes = 0
	c.argv[0], c.scripter.script = &c.frame, commitScript
	reply, err = commitScript.Run(c.ctx, &c.scripter, c.keys[:1], c.argv[:]...).Int64()
	c.writes = c.frame.writes
	return reply, err
}

// sendLarge sends the outcome ahead, under a key of its own, so that no script
// copies it. Where that doesn't settle the commit it had no effect.
func (c *commitCall) sendLarge() (reply int64, settled bool, err error) {
	c.front = payload{data: c.frame.data[:c.head]}
	c.argv[0], c.scripter.script = &c.front, commitLargeScript
	side := redislib.NewStatusCmd(c.ctx, "set", c.side, &c.frame, "px", wire.SidePX)
	run := redislib.NewCmd(c.ctx, "evalsha", commitLargeScript.sha, 2, c.keys[0], c.keys[1],
		c.argv[0], c.argv[1], c.argv[2], c.argv[3])
	run.SetFirstKeyPos(3)
	pipe := c.backend.client.Pipeline()
	_ = pipe.Process(c.ctx, onceStatus{side})
	_ = pipe.Process(c.ctx, onceCmd{run})
	_, failed := pipe.Exec(c.ctx)
	if redislib.HasErrorPrefix(run.Err(), "NOSCRIPT") {
		c.front.writes = 0
		run = commitLargeScript.Eval(c.ctx, &c.scripter, c.keys[:], c.argv[:]...)
	}
	c.writes = c.front.writes
	if run.Err() == nil && run.Val() == nil { // there was no connection to send it on
		if failed == nil {
			failed = errUnreadable
		}
		return 0, false, failed
	}
	for _, refused := range []string{"TRYAGAIN ", "CROSSSLOT ", "MOVED ", "ASK "} {
		if redislib.HasErrorPrefix(run.Err(), refused) {
			return 0, false, nil
		}
	}
	reply, err = run.Int64()
	return reply, reply != wire.CommitSideMissing, err
}
