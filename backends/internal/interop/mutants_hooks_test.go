package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/goredis"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// plain is a hook that changes nothing.
type plain struct{}

func (plain) DialHook(next redislib.DialHook) redislib.DialHook          { return next }
func (plain) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook { return next }
func (plain) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return next
}

// commands changes the arguments of commands before they are sent, and what came
// back.
type commands struct {
	plain
	before func(args []any)
	after  func(cmd redislib.Cmder)
}

func (c commands) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook {
	return func(ctx context.Context, cmd redislib.Cmder) error {
		if c.before != nil {
			c.before(cmd.Args())
		}
		err := next(ctx, cmd)
		if c.after != nil {
			c.after(cmd)
		}
		return err
	}
}

func (c commands) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		for _, cmd := range cmds {
			if c.before != nil {
				c.before(cmd.Args())
			}
		}
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if c.after != nil {
				c.after(cmd)
			}
		}
		return err
	}
}

// setter is a command whose reply can be replaced.
type setter interface{ SetVal(any) }

func isCommit(args []any) bool {
	return len(args) == 8 && (args[1] == wire.CommitScript || args[1] == redislib.NewScript(wire.CommitScript).Hash())
}

func supersededIsSuccess(cmd redislib.Cmder) {
	if reply, ok := cmd.(setter); ok && isCommit(cmd.Args()) {
		reply.SetVal(int64(1))
	}
}

// sharedSide gives all side keys of a record one name, and sends them in a round
// trip of their own.
type sharedSide struct{ plain }

func (sharedSide) ProcessPipelineHook(next redislib.ProcessPipelineHook) redislib.ProcessPipelineHook {
	shared := func(args []any, at int) {
		side := args[at].(string)
		args[at] = side[:strings.IndexByte(side, '}')+1] + "s"
	}
	return func(ctx context.Context, cmds []redislib.Cmder) error {
		if len(cmds) != 2 || len(cmds[0].Args()) != 5 || len(cmds[1].Args()) != 9 {
			return next(ctx, cmds)
		}
		shared(cmds[0].Args(), 1)
		shared(cmds[1].Args(), 4)
		if err := next(ctx, cmds[:1]); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		return next(ctx, cmds[1:])
	}
}

// getThenSet claims, or commits, in two steps.
type getThenSet struct {
	plain
	claims bool
}

func (h *getThenSet) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook {
	do := func(ctx context.Context, args ...any) ([]byte, error) {
		cmd := redislib.NewStringCmd(ctx, args...)
		if err := next(ctx, cmd); err != nil {
			return nil, err
		}
		return cmd.Bytes()
	}
	return func(ctx context.Context, cmd redislib.Cmder) error {
		args := cmd.Args()
		switch {
		case h.claims && len(args) == 7 && args[0] == "set":
			if _, err := do(ctx, "get", args[1]); !errors.Is(err, redislib.Nil) {
				return next(ctx, cmd) // taken: it says by whom
			}
			time.Sleep(time.Millisecond)
			if _, err := do(ctx, "set", args[1], args[2], "px", args[6]); err != nil {
				return err
			}
			cmd.(interface{ SetVal([]byte) }).SetVal([]byte("$-1\r\n"))
			return nil
		case !h.claims && isCommit(args):
			stored, err := do(ctx, "get", args[3])
			if err != nil || len(stored) < 32 || stored[1] == 0x13 {
				return next(ctx, cmd)
			}
			frame, _ := args[4].(interface{ MarshalBinary() ([]byte, error) }).MarshalBinary()
			if !bytes.Equal(stored[2:18], frame[2:18]) {
				return next(ctx, cmd)
			}
			copy(frame[2:32], stored[2:32])
			if _, err := do(ctx, "set", args[3], frame, "px", args[5]); err != nil {
				return err
			}
			cmd.(setter).SetVal(int64(1))
			return nil
		}
		return next(ctx, cmd)
	}
}

// secondStep sets a claim's time to live after the claim.
type secondStep struct{ plain }

func (*secondStep) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook {
	return func(ctx context.Context, cmd redislib.Cmder) error {
		args := cmd.Args()
		if len(args) != 7 || args[0] != "set" {
			return next(ctx, cmd)
		}
		raw := redislib.NewRawCmd(ctx, "set", args[1], args[2], "nx", "get")
		if err := next(ctx, raw); err != nil {
			return err
		}
		if val := raw.Val(); bytes.HasPrefix(val, []byte("_")) || bytes.HasPrefix(val, []byte("$-1")) {
			_ = next(ctx, redislib.NewIntCmd(ctx, "pexpire", args[1], args[6]))
		}
		cmd.(interface{ SetVal([]byte) }).SetVal(raw.Val())
		return nil
	}
}

// staleLooks answers what was read less than a second ago from memory.
type staleLooks struct {
	plain
	mu      sync.Mutex
	replies map[string]any
}

func (h *staleLooks) ProcessHook(next redislib.ProcessHook) redislib.ProcessHook {
	return func(ctx context.Context, cmd redislib.Cmder) error {
		args := cmd.Args()
		if len(args) != 4 || args[1] != wire.LookScript && args[1] != redislib.NewScript(wire.LookScript).Hash() {
			return next(ctx, cmd)
		}
		key := args[3].(string)
		h.mu.Lock()
		known, ok := h.replies[key]
		h.mu.Unlock()
		if ok {
			cmd.(setter).SetVal(known)
			return nil
		}
		err := next(ctx, cmd)
		if reply, ok := cmd.(interface{ Val() any }); err == nil && ok {
			h.mu.Lock()
			h.replies[key] = reply.Val()
			h.mu.Unlock()
		}
		return err
	}
}

// connections wraps each connection.
type connectionHook struct {
	plain
	wrap func(net.Conn) net.Conn
}

func connections(wrap func(net.Conn) net.Conn) redislib.Hook { return connectionHook{wrap: wrap} }

func (h connectionHook) DialHook(next redislib.DialHook) redislib.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return h.wrap(conn), nil
	}
}

// deafConn swallows the messages of a subscription: the server's pushes are
// small, and a read has whole ones.
type deafConn struct{ net.Conn }

func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !bytes.Contains(b[:n], []byte("\r\n$7\r\nmessage\r\n")) {
			return n, err
		}
	}
}

// hidingConn of a subscription goes on silently when it is lost.
type hidingConn struct {
	net.Conn
	mu         sync.Mutex
	subscribes bool
	once       sync.Once
	closed     chan struct{}
}

func (c *hidingConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.Contains(b, []byte("\r\nsubscribe\r\n")) {
		c.subscribes = true
	}
	n, err := c.Conn.Write(b)
	if c.subscribes {
		return len(b), nil
	}
	return n, err
}

func (c *hidingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	hides := c.subscribes && errors.Is(err, io.EOF)
	c.mu.Unlock()
	if hides {
		<-c.closed
	}
	return n, err
}

func (c *hidingConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// absent makes a failed look an unknown key.
type absent struct{ *goredis.Backend }

func (b absent) Fetch(ctx context.Context, key string) (backend.Record, error) {
	record, err := b.Backend.Fetch(ctx, key)
	if err != nil {
		return backend.Record{}, nil
	}
	return record, nil
}

// notAcquired makes a failed claim one that lost.
type notAcquired struct{ *goredis.Backend }

func (b notAcquired) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := b.Backend.Claim(ctx, key, request)
	if err != nil {
		return backend.Record{State: backend.Claimed, Attempt: 1, Fence: 1, LeaseLeft: time.Second}, nil
	}
	return record, nil
}

// sureOfFailure makes a claim of which nobody knows what became one that wasn't
// applied.
type sureOfFailure struct{ *goredis.Backend }

func (b sureOfFailure) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := b.Backend.Claim(ctx, key, request)
	if err != nil {
		err = errors.Join(err, backend.ErrNotApplied)
	}
	return record, err
}

// corruptIsUnknown makes a record that can't be read an unknown key.
type corruptIsUnknown struct{ *goredis.Backend }

func (b corruptIsUnknown) Fetch(ctx context.Context, key string) (backend.Record, error) {
	record, err := b.Backend.Fetch(ctx, key)
	if errors.Is(err, backend.ErrCorrupt) {
		return backend.Record{}, nil
	}
	return record, err
}

// changedKeys is a backend that makes others of its keys.
type changedKeys struct {
	*goredis.Backend
	change func(string) string
}

func withKeys(change func(string) string) func(backend.Backend) backend.Backend {
	return func(b backend.Backend) backend.Backend { return changedKeys{b.(*goredis.Backend), change} }
}

func (b changedKeys) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	return b.Backend.Claim(ctx, b.change(key), request)
}

func (b changedKeys) Commit(ctx context.Context, key string, request backend.CommitRequest) error {
	return b.Backend.Commit(ctx, b.change(key), request)
}

func (b changedKeys) Wait(ctx context.Context, key string, token backend.Token) (backend.Record, error) {
	return b.Backend.Wait(ctx, b.change(key), token)
}

func (b changedKeys) Fetch(ctx context.Context, key string) (backend.Record, error) {
	return b.Backend.Fetch(ctx, b.change(key))
}

func (b changedKeys) Forget(ctx context.Context, key string) error {
	return b.Backend.Forget(ctx, b.change(key))
}
