package rueidis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

var commitLargeSHA = digest(wire.CommitLargeScript)

// MaxOutcome is the length in bytes of the longest outcome that is sent to the
// server: a longer one might break a limit at which servers close the
// connection, which can't be told from an unknown outcome.
const MaxOutcome = 64 << 20

func digest(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// Commit implements backend.Backend.
func (b *Backend) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	const op = "rueidis: commit"
	if err := b.ready(ctx, op, key); err != nil {
		return err
	}
	if err := request.Check(); err != nil {
		return err
	}
	if len(request.Outcome) > MaxOutcome {
		return &wire.Error{Op: op, Class: backend.ErrTooLarge}
	}
	about, err := b.server(ctx)
	if err != nil {
		return b.failure(ctx, op, err)
	}
	buffer := b.buffer()
	frame := rueidislib.BinaryString(buffer.Commit(&request))
	args := []string{frame, b.decimal(wire.CommitPX(&request)), about.publish, wire.CommitHeld(&request)}
	name := rueidislib.BinaryString(buffer.Record(b.layout, key))
	reply := int64(wire.CommitSideMissing)
	if wire.Large(&request) {
		reply, err = b.commitLarge(ctx, name, b.layout.Side(key, request.Token), args, wire.CommitHead(&request))
	}
	if err == nil && reply == wire.CommitSideMissing {
		reply, err = b.eval(ctx, commitScript, []string{name}, args).AsInt64()
	}
	if err == nil {
		b.release(buffer)
		err = wire.ReadCommit(reply)
	}
	return b.failure(ctx, op, err)
}

// commitLarge sends the frame ahead under a side key. Its answer is
// wire.CommitSideMissing wherever the one-key script must follow.
func (b *Backend) commitLarge(ctx context.Context, name, side string, args []string, head int) (int64, error) {
	frame := args[0]
	args = append([]string{frame[:head]}, args[1:]...)
	build := b.line.B()
	results := b.line.DoMulti(ctx,
		build.Set().Key(side).Value(frame).Px(wire.SidePX*time.Millisecond).Build(),
		build.Evalsha().Sha1(commitLargeSHA).Numkeys(2).Key(name, side).Arg(args...).Build(),
	)
	// An error of the SET needs no look: the script finds no side key then.
	result := results[1]
	if refusal(result.Error(), "NOSCRIPT") {
		result = commitLargeScript.source.Exec(ctx, b.line, []string{name, side}, args)
	}
	if refusal(result.Error(), "TRYAGAIN") || refusal(result.Error(), "CROSSSLOT") {
		return wire.CommitSideMissing, nil
	}
	return result.AsInt64()
}

// refusal tells whether the error is the server's and begins with a word.
func refusal(err error, word string) bool {
	reply, ok := rueidislib.IsRedisErr(err)
	return ok && strings.HasPrefix(reply.Error(), word)
}

// buffer is room for a request. A client of the app's may be wrapped by what keeps
// commands, so that there nothing is used again.
func (b *Backend) buffer() *wire.Buffer {
	if b.line.shared {
		return new(wire.Buffer)
	}
	return wire.NewBuffer()
}

func (b *Backend) release(buffer *wire.Buffer) {
	if !b.line.shared {
		buffer.Release()
	}
}

// decimal formats a duration; most are the one of the call before.
func (b *Backend) decimal(n int64) string {
	if last := b.last.Load(); last != nil && last.n == n {
		return last.text
	}
	made := &decimal{n, strconv.FormatInt(n, 10)}
	b.last.Store(made)
	return made.text
}

type decimal struct {
	n    int64
	text string
}
