package goredis

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	redislib "github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// Claim implements [backend.Backend]. A fresh key and a completed one cost one
// command, a key that another holds two.
func (b *Backend) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := request.Check(); err != nil {
		return backend.Record{}, err
	}
	if err := b.check(ctx, opClaim, key); err != nil {
		return backend.Record{}, err
	}
	c := &claimCall{backend: b, ctx: ctx, key: b.layout.Record(key), claim: request}
	c.request.op = opClaim
	c.frame.data = wire.AppendClaim(nil, &request)
	// The call may outlive the verb, whose slices are the caller's.
	c.claim.Fingerprint, c.claim.Metadata = nil, nil
	company := b.claims
	if !wire.Direct(&request) {
		company = alone
	}
	if !b.do(ctx, c, company) {
		return backend.Record{}, unanswered(ctx, opClaim)
	}
	return c.record, c.err
}

// claimCall is one claim with all that its commands need.
type claimCall struct {
	backend *Backend
	ctx     context.Context
	key     string
	claim   backend.ClaimRequest
	request request
	frame   payload
	px      expiry
	args    [7]any
	scripter
	keys [1]string
	sent *redislib.RawCmd // in company, and not looked at yet

	record backend.Record
	err    error
}

func (c *claimCall) first(boarded time.Time) redislib.Cmder {
	c.frame.ctx, c.frame.boarded = c.ctx, boarded
	c.sent = c.raw()
	return onceRaw{c.sent}
}

func (c *claimCall) rode() bool {
	record, settled, err := c.readRaw(c.sent)
	c.record = record
	return settled && err == nil
}

func (c *claimCall) lost() {
	c.sent, c.request.uncertain = nil, c.frame.writes > 0
}

func (c *claimCall) Run() {
	if wire.Direct(&c.claim) {
		var settled bool
		if c.record, settled, c.err = c.set(); settled || c.err != nil {
			return
		}
	}
	c.record, c.err = c.script()
}

// set sends SET NX GET and reads what it says.
func (c *claimCall) set() (record backend.Record, settled bool, err error) {
	for {
		record, settled, err = c.sendSet()
		if err == nil {
			return record, settled, nil
		}
		if errors.Is(err, backend.ErrCorrupt) {
			return backend.Record{}, false, &wire.Error{Op: opClaim, Err: err}
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, c.frame.writes)
		if !again {
			return backend.Record{}, false, err
		}
	}
}

func (c *claimCall) setArgs() []any {
	c.px.of, c.px.ms = &c.frame, wire.ClaimPX(&c.claim)
	c.args = [7]any{"set", c.key, &c.frame, "nx", "get", "px", &c.px}
	return c.args[:]
}

func (c *claimCall) raw() *redislib.RawCmd { return redislib.NewRawCmd(c.ctx, c.setArgs()...) }

func (c *claimCall) sendSet() (backend.Record, bool, error) {
	if c.backend.single != nil {
		cmd := c.sent
		if c.sent = nil; cmd == nil {
			cmd = c.raw()
			_ = c.backend.single.Process(c.ctx, onceRaw{cmd})
		}
		record, settled, err := c.readRaw(cmd)
		if !errors.Is(err, errUnreadable) {
			return record, settled, err
		}
		// Asked for once more, in the way that makes the client take note of it.
	}
	cmd := redislib.NewStringCmd(c.ctx, c.setArgs()...)
	_ = c.backend.client.Process(c.ctx, onceString{cmd})
	reply, err := cmd.Bytes()
	switch {
	case errors.Is(err, redislib.Nil):
		return c.taken()
	case err != nil:
		return backend.Record{}, false, err
	default:
		return wire.AdoptClaim(reply)
	}
}

// readRaw reads the raw reply: a nil reply is an error to go-redis, which costs it
// 22 allocations. One that is neither nil nor a string is errUnreadable.
func (c *claimCall) readRaw(cmd *redislib.RawCmd) (backend.Record, bool, error) {
	if err := cmd.Err(); err != nil {
		return backend.Record{}, false, err
	}
	reply, null, ok := parseBulk(cmd.Val())
	switch {
	case null:
		return c.taken()
	case ok:
		return wire.AdoptClaim(reply)
	}
	return backend.Record{}, false, errUnreadable
}

// taken is the record of a key that the command took: the frame that it sent.
func (c *claimCall) taken() (backend.Record, bool, error) {
	record, _, err := wire.Decode(c.frame.data)
	return record, err == nil, err
}

// script runs the claim script.
func (c *claimCall) script() (backend.Record, error) {
	c.scripter.client, c.scripter.loaded, c.scripter.script = c.backend.client, &c.backend.loaded, claimScript
	c.keys[0] = c.key
	argv := [3]any{&c.frame, wire.ClaimLease(&c.claim), wire.ClaimSeen(&c.claim)}
	for {
		c.frame.writes = 0
		cmd := claimScript.Run(c.ctx, &c.scripter, c.keys[:], argv[:]...)
		frame, ttl, err := readPair(cmd)
		if err == nil {
			record, err := wire.ReadScriptClaim(&c.claim, frame, ttl)
			if err != nil {
				return backend.Record{}, &wire.Error{Op: opClaim, Err: err}
			}
			return record, nil
		}
		again, err := c.request.again(c.ctx, c.backend.retries, err, c.frame.writes)
		if !again {
			return backend.Record{}, err
		}
	}
}

// readPair reads the reply {frame, ttl} of a script.
func readPair(cmd *redislib.Cmd) (frame string, ttl int64, err error) {
	reply, err := cmd.Slice()
	if err != nil {
		return "", 0, err
	}
	if len(reply) == 2 {
		frame, isString := reply[0].(string)
		ttl, isInt := reply[1].(int64)
		if isString && isInt {
			return frame, ttl, nil
		}
	}
	return "", 0, errUnreadable
}

var errUnreadable = errors.New("reply of an unknown form")

// parseBulk reads a raw reply that is a bulk string or null, in either version
// of the Redis protocol.
func parseBulk(raw []byte) (value []byte, null, ok bool) {
	if len(raw) < 3 {
		return nil, false, false
	}
	switch raw[0] {
	case '_':
		return nil, true, true
	case '$':
		head, rest, found := bytes.Cut(raw[1:], []byte("\r\n"))
		n, err := strconv.Atoi(string(head))
		switch {
		case !found || err != nil:
			return nil, false, false
		case n < 0:
			return nil, true, true
		case len(rest) == n+2:
			return rest[:n:n], false, true
		}
	}
	return nil, false, false
}
