package redigo

import (
	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backends/internal/wire"
)

// script is a script of the client's with what EVALSHA needs of it boxed once.
type script struct {
	*redis.Script
	hash, keys any
}

func newScript(keys int, source string) script {
	s := redis.NewScript(keys, source)
	return script{Script: s, hash: s.Hash(), keys: keys}
}

var (
	claimScript       = newScript(1, wire.ClaimScript)
	commitScript      = newScript(1, wire.CommitScript)
	commitLargeScript = newScript(2, wire.CommitLargeScript)
	lookScript        = newScript(1, wire.LookScript)
	forgetScript      = newScript(1, wire.ForgetScript)
)

// eval runs a script with the keys and arguments that follow. It is Script.Do, but
// that the arguments of EVALSHA are allocated once for many calls.
func (c *call) eval(conn redis.Conn, s script, keysAndArgs ...any) (any, error) {
	args := append(append(c.args[:0], s.hash, s.keys), keysAndArgs...)
	reply, err := conn.Do("EVALSHA", args...)
	if hasPrefix(err, "NOSCRIPT ") {
		return s.Do(conn, args[2:]...)
	}
	return reply, err
}
