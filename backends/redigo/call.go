package redigo

import (
	"context"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// call is one exchange with the server: a connection of the pool, the commands
// of a verb on it, and what was answered.
//
// Under load its first command may be sent with those of other calls (see ride.go);
// what then is left to do is done as follows.
//
// There are two ways to make one under a ctx that can end. Where an idle
// connection of the pool is at hand (see idle.go), in the goroutine of the verb:
// when the ctx ends the connection is closed under its hands. Otherwise much may
// happen that can't be interrupted: dialling by Pool.Dial, a TLS handshake,
// Pool.TestOnBorrow. Then a worker makes the exchange, and the verb leaves when
// the ctx ends. From then on the call is the worker's, which alone gives the
// connection back to the pool: broken, or with every reply read.
type call struct {
	backend *Backend
	ctx     context.Context
	op      string
	talk    func(*call, redis.Conn) error
	// repeatable: the exchange may be sent again, on another connection, by those
	// who don't know what became of it.
	repeatable bool
	company    int64 // with more calls than that under way it rides

	key       any    // the record's name
	side      any    // that of its side key
	frame     []byte // kept from call to call
	boxed     any    // the frame as an argument
	head      int    // length of the frame without its outcome
	px, lease int64
	seen      string
	held      any
	direct    bool
	args      [9]any    // room for those of a command
	ahead     *idleOnly // kept from call to call
	interrupt func()    // cut, made once

	// What was answered.
	err      error
	null     bool // the key was taken
	scripted bool // value and ttl are the reply of a script
	value    []byte
	ttl      int64
	code     int64
	record   backend.Record

	tries  int // so far
	ticket ticket

	mu       sync.Mutex
	conn     redis.Conn // while the call has it
	carrier  *ride      // while the call rides
	sent     bool       // something of the exchange may have been written
	finished bool
	left     bool // nobody waits for the call any more
	spoiled  bool // cut may still be called: the call isn't used again
}

const (
	// maxFrame bounds the memory that a call keeps for the next one's frame.
	maxFrame = 64 << 10
	// maxStale bounds how many dead connections of the pool one call uses up.
	maxStale = 64
)

func (b *Backend) newCall(ctx context.Context, op, name string) *call {
	c, _ := b.calls.Get().(*call)
	if c == nil {
		c = &call{backend: b, frame: make([]byte, 0, 256)}
		c.interrupt = c.cut
	}
	c.ctx, c.op, c.key, c.company = ctx, op, name, alone
	return c
}

func (c *call) setFrame(frame []byte) { c.frame, c.boxed = frame, frame }

// free keeps the call for the next verb, unless a worker or a driver still has it.
func (b *Backend) free(c *call) {
	if c.left || c.spoiled {
		return
	}
	frame := c.frame[:0]
	if cap(frame) > maxFrame {
		frame = make([]byte, 0, 256)
	}
	if c.ahead != nil {
		c.ahead.Context = nil
	}
	*c = call{
		backend: b, frame: frame, ahead: c.ahead, interrupt: c.interrupt,
		ticket: ticket{arrived: c.ticket.arrived},
	}
	b.calls.Put(c)
}

// do makes the exchange. When ctx ends before it is finished, do returns all the
// same, and the call may then be the worker's, or the driver's of a ride.
func (b *Backend) do(c *call) error {
	defer b.underWay.Add(-1)
	if b.underWay.Add(1) > c.company && b.greeted.Load() && b.ride(c) {
		return c.err
	}
	if c.ctx.Done() == nil {
		c.run(c.tries)
		return c.err
	}
	if c.tries == 0 {
		if conn := b.idleConn(c); conn != nil {
			stop := context.AfterFunc(c.ctx, c.interrupt)
			again := c.exchange(conn, false)
			c.spoiled = !stop()
			if !again {
				return c.err
			}
			c.tries = 1
		}
	}
	if b.workers.Do(c.ctx, c) || c.leave() {
		return c.err
	}
	return c.unanswered()
}

// unanswered is the error of a verb that left its call.
func (c *call) unanswered() error {
	class := backend.ErrNotApplied
	if c.sent {
		class = nil
	}
	return &wire.Error{Op: c.op, Class: class, Err: c.ctx.Err()}
}

// leave gives the call up to its worker or driver, unless that has finished.
// Afterwards nothing more is sent, so that whether something was is settled.
func (c *call) leave() (finished bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return true
	}
	c.left = true
	switch {
	case c.conn != nil:
		go c.cut()
	case c.carrier != nil:
		c.carrier.leave()
	}
	return false
}

// ranOut is a ctx whose deadline is over.
var ranOut, _ = context.WithDeadline(context.Background(), time.Unix(0, 0))

// cut closes the connection of a call whose ctx has ended, under the hands of who
// uses it.
// redigo has one way to do that which is safe for concurrent use: a receive whose
// ctx has run out doesn't receive but closes the connection. A connection that
// was wrapped by the application may not know it; it is only used by workers, and
// then the worker stays until the reply or a timeout of the connection's comes.
func (c *call) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_, _ = redis.ReceiveContext(c.conn, ranOut)
	}
}

// Run is run, for a worker.
func (c *call) Run() {
	c.run(c.tries)
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
}

// run makes the exchange, of which there were so many tries. A connection that
// lay idle in the pool may be dead, and all of them are when the server was
// restarted: what may be sent again is.
func (c *call) run(tries int) {
	limit := min(c.backend.pool.IdleCount()+2, maxStale)
	for again := true; again && tries < limit; tries++ {
		conn, err := c.backend.conn(c.ctx)
		if err != nil {
			c.fail(classOfDial(err), err, tries > 0)
			return
		}
		again = c.exchange(conn, tries > 0)
	}
}

// exchange makes the exchange on one connection, and gives that back. It tells
// whether it is to be made again: the connection broke.
func (c *call) exchange(conn redis.Conn, again bool) bool {
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()

	var err error
	if c.wanted() {
		err = c.backend.greet(c.ctx, conn)
	}
	switch {
	case err != nil:
		c.fail(classOfDial(err), err, again)
	case !c.send():
		c.fail(backend.ErrNotApplied, ended(c.ctx), again)
	default:
		err = c.talk(c, conn)
		c.end(err, again)
	}
	broken := err != nil && conn.Err() != nil

	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	_ = conn.Close() // back into the pool; if it is broken, closed
	return c.again(err, broken)
}

// end sets how the exchange ended, by the error of what was sent.
func (c *call) end(err error, again bool) {
	if err == nil {
		c.err = nil
		return
	}
	clear, class := classify(err)
	c.fail(class, clear, again)
}

// again tells whether the exchange is to be made again after err.
func (c *call) again(err error, broken bool) bool {
	return broken && !isTimeout(err) && c.repeatable && ended(c.ctx) == nil
}

// wanted tells whether somebody waits for the call.
func (c *call) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.left && c.ctx.Err() == nil
}

// send tells whether the exchange may be sent. From then on nobody knows whether
// it was, until there is an answer.
func (c *call) send() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left || ended(c.ctx) != nil {
		return false
	}
	c.sent = true
	return true
}

// fail sets the error of the exchange. Again: it isn't the first send, and what
// the refusal of this one says of its effect isn't true for those before.
func (c *call) fail(class, err error, again bool) {
	if again && (class == backend.ErrNotApplied || class == backend.ErrPermanent) {
		class = nil
	}
	c.err = &wire.Error{Op: c.op, Class: class, Err: withContext(c.ctx, err)}
}
