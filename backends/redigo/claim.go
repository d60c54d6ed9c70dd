package redigo

import (
	"context"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

var (
	argNX  any = "NX"
	argGet any = "GET"
	argPX  any = "PX"
)

// Claim implements [backend.Backend]. A fresh key and a completed one cost one
// round trip, a key that another holds two.
func (b *Backend) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	if err := request.Check(); err != nil {
		return backend.Record{}, err
	}
	if err := b.check(ctx, opClaim, key); err != nil {
		return backend.Record{}, err
	}
	c := b.newCall(ctx, opClaim, b.layout.Record(key))
	defer b.free(c)
	c.talk = (*call).claim
	// A repeated claim is one claim, by its token. A renewal isn't repeated: none
	// may be sent once its sender's lease is over, of which nothing is known here.
	c.repeatable = !request.Renewal
	c.setFrame(wire.AppendClaim(c.frame, &request))
	c.direct, c.px = wire.Direct(&request), wire.ClaimPX(&request)
	if c.direct {
		c.company = b.claims
	}
	c.lease, c.seen = wire.ClaimLease(&request), wire.ClaimSeen(&request)
	if err := b.do(c); err != nil {
		return backend.Record{}, err
	}
	switch {
	case c.scripted:
		record, err := wire.ReadScriptClaim(&request, c.value, c.ttl)
		return record, unreadable(opClaim, err)
	case c.null:
		return wire.Taken(&request), nil
	default:
		return c.record, nil
	}
}

func (c *call) claim(conn redis.Conn) error {
	if c.direct {
		if settled, err := c.readSet(conn.Do("SET", c.setArgs()...)); settled || err != nil {
			return err
		}
	}
	c.scripted = true
	return c.readPair(c.eval(conn, claimScript, c.key, c.boxed, c.lease, c.seen))
}

func (c *call) setArgs() []any {
	return append(c.args[:0], c.key, c.boxed, argNX, argGet, argPX, c.px)
}

// readSet reads the reply of SET NX GET, and tells whether it settles the claim.
func (c *call) readSet(reply any, err error) (settled bool, _ error) {
	c.null, c.scripted = false, false
	if err != nil {
		return false, setRefused(err)
	}
	if reply == nil {
		c.null = true
		return true, nil
	}
	frame, ok := reply.([]byte)
	if !ok {
		return false, errReply
	}
	// The reply is nobody else's: redigo makes each anew.
	c.record, settled, err = wire.AdoptClaim(frame)
	return settled, err
}

// readPair reads the reply {frame, ttl} of a script.
func (c *call) readPair(reply any, err error) error {
	if err != nil {
		return err
	}
	if pair, ok := reply.([]any); ok && len(pair) == 2 {
		value, isBytes := pair[0].([]byte)
		ttl, isInt := pair[1].(int64)
		if isBytes && isInt {
			c.value, c.ttl = value, ttl
			return nil
		}
	}
	return errReply
}
