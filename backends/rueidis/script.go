package rueidis

import (
	"context"
	"sync/atomic"

	rueidislib "github.com/redis/rueidis"

	"github.com/reprise-go/reprise/backends/internal/wire"
)

// script is a script of the client's, by its hash and by its source.
type script struct {
	hash, source *rueidislib.Lua
	number       int // its place in loaded
}

func newScript(number int, source string) script {
	return script{hash: rueidislib.NewLuaScript(source), source: rueidislib.NewLuaScriptNoSha(source), number: number}
}

var (
	claimScript       = newScript(0, wire.ClaimScript)
	commitScript      = newScript(1, wire.CommitScript)
	commitLargeScript = newScript(2, wire.CommitLargeScript)
	lookScript        = newScript(3, wire.LookScript)
	forgetScript      = newScript(4, wire.ForgetScript)
)

// loaded tells which scripts this backend has had the server run. The first time
// it sends the source: a server that doesn't know the hash would cost one round
// trip more, and sending the source once costs nothing to one that does.
type loaded [5]atomic.Bool

// eval runs a script.
func (b *Backend) eval(ctx context.Context, s script, keys, args []string) rueidislib.RedisResult {
	return b.evalOn(ctx, b.line, s, keys, args)
}

func (b *Backend) evalOn(ctx context.Context, on rueidislib.Client, s script, keys, args []string) rueidislib.RedisResult {
	known := &b.loaded[s.number]
	if known.Load() {
		return s.hash.Exec(ctx, on, keys, args)
	}
	result := s.source.Exec(ctx, on, keys, args)
	known.Store(result.Error() == nil)
	return result
}
