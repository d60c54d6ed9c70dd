package goredis

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backends/internal/gather"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// The commands are not retried by the client (NoRetry): after a retry nobody
// knows what became of the send before it, and "not applied" could not be told
// from "nobody knows". This package retries, see retry.go.

type onceCmd struct{ *redislib.Cmd }

func (onceCmd) NoRetry() bool { return true }

type onceString struct{ *redislib.StringCmd }

func (onceString) NoRetry() bool { return true }

type onceRaw struct{ *redislib.RawCmd }

func (onceRaw) NoRetry() bool { return true }

// payload is an argument that knows whether it was ever written to a connection:
// a request of which nothing was written was certainly not applied.
type payload struct {
	data   []byte
	writes int
	// Of a request that is sent for who may be gone by then.
	ctx      context.Context
	boarded  time.Time
	withheld bool // it was too late
}

// MarshalBinary is what the client calls when it writes the argument. A request
// whose caller left while its driver waited for a connection must not be applied.
// An error would fail those that are sent with it, and cost the connection; so it
// is written as one that the server refuses, without effect: a commit by its empty
// frame, a claim by its expiry.
func (p *payload) MarshalBinary() ([]byte, error) {
	if p.ctx != nil && p.ctx.Err() != nil && time.Since(p.boarded) >= gather.Patience {
		p.withheld = true
		return nil, nil
	}
	p.writes++
	return p.data, nil
}

// expiry is the PX of a claim with its payload before it.
type expiry struct {
	of   *payload
	ms   int64
	text [20]byte
}

// MarshalBinary is what the client calls when it writes the argument.
func (e *expiry) MarshalBinary() ([]byte, error) {
	ms := e.ms
	if e.of.withheld {
		ms = 0
	}
	return strconv.AppendInt(e.text[:0], ms, 10), nil
}

// String is what tracing hooks show of it.
func (e *expiry) String() string { return strconv.FormatInt(e.ms, 10) }

// String is what tracing hooks show of it.
func (p *payload) String() string { return "<record>" }

// script is a script with its arguments for EVALSHA boxed once.
type script struct {
	*redislib.Script
	sha, source any
	number      int // its place in loaded
}

func newScript(number int, source string) script {
	s := redislib.NewScript(source)
	return script{Script: s, sha: s.Hash(), source: source, number: number}
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

// scripter runs scripts for redislib.Script without retries of the client. It is
// part of each call, for it holds the arguments.
type scripter struct {
	redislib.Scripter // for what is never called
	client            redislib.UniversalClient
	loaded            *loaded
	script            script
	args              [9]any
}

var _ redislib.Scripter = (*scripter)(nil)

// Eval implements redislib.Scripter.
func (s *scripter) Eval(ctx context.Context, source string, keys []string, args ...any) *redislib.Cmd {
	return s.process(ctx, "eval", source, keys, args)
}

// EvalSha implements redislib.Scripter.
func (s *scripter) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redislib.Cmd {
	if known := &s.loaded[s.script.number]; !known.Load() {
		cmd := s.process(ctx, "eval", s.script.source, keys, args)
		known.Store(cmd.Err() == nil)
		return cmd
	}
	return s.process(ctx, "evalsha", s.script.sha, keys, args)
}

func (s *scripter) process(ctx context.Context, name string, script any, keys []string, args []any) *redislib.Cmd {
	all := append(s.args[:0], name, script, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	all = append(all, args...)
	cmd := redislib.NewCmd(ctx, all...)
	cmd.SetFirstKeyPos(3)
	_ = s.client.Process(ctx, onceCmd{cmd})
	return cmd
}

type onceStatus struct{ *redislib.StatusCmd }

func (onceStatus) NoRetry() bool { return true }
