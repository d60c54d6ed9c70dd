package redigo

import (
	"context"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// MaxOutcome is the length in bytes of the longest outcome that is sent to the
// server: a longer one might break a limit at which servers close the
// connection, which can't be told from an unknown outcome.
const MaxOutcome = 64 << 20

var (
	argPublish any = wire.Publish
	argHeld    any = "1"
	argNotHeld any = "0"
)

// Commit implements [backend.Backend]. It costs one command, with an outcome of
// 8 KiB and more two in one round trip. An outcome may have [MaxOutcome] bytes,
// if the server's proto-max-bulk-len allows for it.
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
	c := b.newCall(ctx, opCommit, b.layout.Record(key))
	defer b.free(c)
	c.talk = (*call).commit
	c.px, c.held = wire.CommitPX(&request), argNotHeld
	if request.LeaseHeld {
		c.held = argHeld
	}
	if wire.Large(&request) {
		c.talk = (*call).commitLarge
		c.side = b.layout.Side(key, request.Token)
		c.head = wire.CommitHead(&request)
	}
	if c.head == 0 && b.loaded[commitScript.number].Load() {
		c.company = b.commits
	}
	c.setFrame(wire.AppendCommit(c.frame, &request))
	if err := b.do(c); err != nil {
		return err
	}
	if err := wire.ReadCommit(c.code); err != nil {
		return &wire.Error{Op: opCommit, Err: err}
	}
	return nil
}

func (c *call) commit(conn redis.Conn) error {
	return c.readCode(c.eval(conn, commitScript, c.key, c.boxed, c.px, argPublish, c.held))
}

// commitLarge sends the outcome ahead, under a key of its own, so that no script
// copies it; and as other outcomes where that doesn't work out.
func (c *call) commitLarge(conn redis.Conn) error {
	run := append(c.args[:0], c.key, c.side, c.frame[:c.head], c.px, argPublish, c.held)
	if err := conn.Send("SET", c.side, c.boxed, argPX, wire.SidePX); err != nil {
		return err
	}
	if err := commitLargeScript.SendHash(conn, run...); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	if _, err := conn.Receive(); err != nil && conn.Err() != nil {
		return err
	}
	// Where the side key was refused, the script says that it is missing.
	reply, err := conn.Receive()
	if hasPrefix(err, "NOSCRIPT ") {
		reply, err = commitLargeScript.Do(conn, run...)
	}
	if hasPrefix(err, "TRYAGAIN ", "CROSSSLOT ") {
		return c.commit(conn)
	}
	if err = c.readCode(reply, err); err == nil && c.code == wire.CommitSideMissing {
		return c.commit(conn)
	}
	return err
}

// readCode reads the reply of a script that answers with an integer.
func (c *call) readCode(reply any, err error) error {
	if err != nil {
		return err
	}
	code, ok := reply.(int64)
	if !ok {
		return errReply
	}
	c.code = code
	return nil
}
