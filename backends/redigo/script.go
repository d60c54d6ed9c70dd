package redigo

import (
	"sync/atomic"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backends/internal/wire"
)

// script is a script of the client's with what EVALSHA needs of it boxed once.
type script struct {
	*redis.Script
	hash, source, keys any
	number             int // its place in loaded
}

func newScript(number, keys int, source string) script {
	s := redis.NewScript(keys, source)
	return script{Script: s, hash: s.Hash(), source: source, keys: keys, number: number}
}

// loaded tells which scripts this backend has had the server run. The first time
// it sends the source: a server that doesn't know the hash would cost one round
// trip more, and sending the source once costs nothing to one that does.
type loaded [5]atomic.Bool

var (
	claimScript       = newScript(0, 1, wire.ClaimScript)
	commitScript      = newScript(1, 1, wire.CommitScript)
	commitLargeScript = newScript(2, 2, wire.CommitLargeScript)
	lookScript        = newScript(3, 1, wire.LookScript)
	forgetScript      = newScript(4, 1, wire.ForgetScript)
)

// eval runs a script with the keys and arguments that follow. It is Script.Do, but
// that the arguments of EVALSHA are allocated once for many calls.
func (c *call) eval(conn redis.Conn, s script, keysAndArgs ...any) (any, error) {
	args := append(append(c.args[:0], s.hash, s.keys), keysAndArgs...)
	known := &c.backend.loaded[s.number]
	if !known.Load() {
		args[0] = s.source
		reply, err := conn.Do("EVAL", args...)
		known.Store(err == nil)
		return reply, err
	}
	reply, err := conn.Do("EVALSHA", args...)
	if hasPrefix(err, "NOSCRIPT ") {
		return s.Do(conn, args[2:]...)
	}
	return reply, err
}
