package redigo

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/gomodule/redigo/redis"
)

// alone is the company of a call that never rides.
const alone int64 = math.MaxInt64

// ride is a connection that carries the first commands of several calls. A driver
// has it, a goroutine that nobody waits for: each rider leaves when its ctx ends,
// and with the last one the connection is cut.
type ride struct {
	stop   context.CancelFunc // ends getting the connection
	aboard []*call            // the driver's: nil where delivered

	mu     sync.Mutex
	riders int        // who still wait for something of the ride
	conn   redis.Conn // while the driver has it
}

// ticket is what a call has from its ride.
type ticket struct {
	arrived chan struct{} // has room for one
	reply   any
	err     error
	broke   bool // the connection, by err
}

// ride makes the call together with others, and tells whether it is over: finished,
// or left to the driver. Otherwise it goes on by itself.
func (b *Backend) ride(c *call) (over bool) {
	if c.ticket.arrived == nil {
		c.ticket.arrived = make(chan struct{}, 1)
	}
	b.gatherer.Add(c)
	select {
	case <-c.ticket.arrived:
	case <-c.ctx.Done():
		if !c.leave() {
			c.err = c.unanswered()
			return true
		}
		<-c.ticket.arrived
	}
	// Nobody else refers to the call now.
	c.finished = false
	return c.landed()
}

// landed takes what the ride brought, and tells whether that finishes the call.
func (c *call) landed() bool {
	if !c.sent {
		return false
	}
	settled, err := c.readFirst(c.ticket.reply, c.ticket.err)
	if hasPrefix(err, "NOSCRIPT ") {
		// Nothing was applied. The next one sends the source.
		c.backend.loaded[commitScript.number].Store(false)
		return false
	}
	c.end(err, false)
	if c.again(err, c.ticket.broke) {
		c.tries = 1
		return false
	}
	return settled || err != nil
}

// sendFirst writes the command that a call rides with.
func (c *call) sendFirst(conn redis.Conn) error {
	if c.direct {
		return conn.Send("SET", c.setArgs()...)
	}
	args := append(c.args[:0], commitScript.hash, commitScript.keys, c.key, c.boxed, c.px, argPublish, c.held)
	return conn.Send("EVALSHA", args...)
}

// readFirst reads the reply to it. Where that doesn't settle a claim, only the
// script is left to be sent.
func (c *call) readFirst(reply any, err error) (settled bool, _ error) {
	if !c.direct {
		return true, c.readCode(reply, err)
	}
	settled, err = c.readSet(reply, err)
	if !settled && err == nil {
		c.direct = false
	}
	return settled, err
}

// drive sends the first commands of those who are still there and hands out the
// replies. What doesn't end with its reply goes on elsewhere.
func (b *Backend) drive(together []*call) {
	// The ctx of none of them ends the ride; what dialling reads from it is the
	// first one's.
	ctx, stop := context.WithCancel(context.WithoutCancel(together[0].ctx))
	defer stop()
	r := &ride{stop: stop, riders: len(together)}
	aboard := together[:0]
	for _, c := range together {
		if c.board(r) {
			aboard = append(aboard, c)
		} else {
			r.leave()
		}
	}
	if len(aboard) == 0 {
		return
	}
	r.aboard = slices.Clone(aboard)
	// What the app dials or wraps its connections in may panic or end the goroutine.
	// Then each goes on alone, and meets it there.
	var conn redis.Conn
	ended := false
	defer func() {
		_ = recover()
		if !ended && conn != nil {
			r.cut()
			r.hold(nil)
			_ = conn.Close()
		}
		for _, c := range r.aboard {
			if c != nil {
				r.deliver(c, nil, errUndriven, true)
			}
		}
	}()
	var err error
	conn, err = b.conn(ctx)
	if err != nil {
		for _, c := range aboard {
			r.deliver(c, nil, nil, false)
		}
		return
	}
	r.hold(conn)
	r.exchange(aboard, conn)
	r.hold(nil)
	ended = true
	_ = conn.Close() // back into the pool; if it is broken, closed
}

var errUndriven = errors.New("what sent the command didn't come to an end")

func (r *ride) exchange(aboard []*call, conn redis.Conn) {
	var broken error
	sent := aboard[:0]
	for _, c := range aboard {
		switch {
		case broken != nil:
			r.deliver(c, nil, nil, false)
		case c.depart():
			broken = c.sendFirst(conn)
			sent = append(sent, c)
		}
	}
	if len(sent) > 0 && broken == nil {
		broken = conn.Flush()
	}
	for _, c := range sent {
		var reply any
		err := broken
		if broken == nil {
			if r.deserted() { // by those whose replies are still to come
				r.cut()
				return
			}
			if reply, err = conn.Receive(); err != nil && conn.Err() != nil {
				broken = err
			}
		}
		r.deliver(c, reply, err, broken != nil)
	}
}

// board makes the call a rider, if its verb still waits.
func (c *call) board(r *ride) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || c.ctx.Err() != nil {
		return false
	}
	c.carrier = r
	return true
}

// depart tells whether the call is sent, which it isn't once its ctx has ended.
func (c *call) depart() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || c.ctx.Err() != nil {
		return false
	}
	c.sent = true
	return true
}

// deliver gives the call back to its verb, if that still waits.
func (r *ride) deliver(c *call, reply any, err error, broke bool) {
	if i := slices.Index(r.aboard, c); i >= 0 {
		r.aboard[i] = nil // it isn't the driver's any more
	}
	c.mu.Lock()
	if c.left {
		c.mu.Unlock()
		return
	}
	c.ticket.reply, c.ticket.err, c.ticket.broke = reply, err, broke
	c.carrier, c.finished = nil, true
	c.mu.Unlock()
	r.mu.Lock()
	r.riders--
	r.mu.Unlock()
	c.ticket.arrived <- struct{}{}
}

// leave is said by who doesn't wait any more.
func (r *ride) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.riders--
	if r.riders == 0 {
		r.stop()
		if r.conn != nil {
			go r.cut()
		}
	}
}

func (r *ride) deserted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.riders == 0
}

func (r *ride) hold(conn redis.Conn) {
	r.mu.Lock()
	r.conn = conn
	r.mu.Unlock()
}

// cut closes the connection under the hands of the driver, as call.cut does.
func (r *ride) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_, _ = redis.ReceiveContext(r.conn, ranOut)
	}
}
