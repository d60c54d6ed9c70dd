package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"
	"sync/atomic"
)

// gate stands between database/sql and the driver of every store that it opens. A
// file has no network to cut or to silence; what comes nearest is a disk that
// hangs, under which every system call stays where it is whatever the ctx says,
// and connections that all turn out to be dead.
type gate struct {
	mu     sync.Mutex
	open   chan struct{} // closed: calls go through
	cuts   atomic.Int64  // connections made before the latest cut are dead
	opened atomic.Int64
	noSync bool        // commits don't wait for the disk
	lose   atomic.Bool // the next COMMIT is done, and reported as failed
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) silence() (restore func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := make(chan struct{})
	g.open = open
	return sync.OnceFunc(func() { close(open) })
}

func (g *gate) cut() { g.cuts.Add(1) }

// pass returns when the disk answers. It knows no ctx: neither does a disk.
func (g *gate) pass() {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	<-open
}

func (g *gate) wrap(c driver.Connector) driver.Connector { return gatedConnector{c, g} }

type gatedConnector struct {
	driver.Connector
	gate *gate
}

func (c gatedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c.gate.pass()
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if c.gate.noSync {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, "PRAGMA synchronous = OFF", nil); err != nil {
			return nil, err
		}
	}
	c.gate.opened.Add(1)
	return &gatedConn{conn, c.gate, c.gate.cuts.Load()}, nil
}

// gatedConn passes on what this package uses of a connection: transactions and
// statements.
type gatedConn struct {
	driver.Conn
	gate *gate
	cuts int64
}

// pass tells whether the connection is still there. Nothing was sent if it isn't,
// which is what driver.ErrBadConn promises.
func (c *gatedConn) pass() error {
	c.gate.pass()
	if c.gate.cuts.Load() != c.cuts {
		return driver.ErrBadConn
	}
	return nil
}

func (c *gatedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.pass(); err != nil {
		return nil, err
	}
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &gatedStmt{stmt, c}, nil
}

func (c *gatedConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	if err := c.pass(); err != nil {
		return nil, err
	}
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	return gatedTx{tx, c}, nil
}

var errLost = errors.New("fsync failed, or the like")

type gatedTx struct {
	driver.Tx
	conn *gatedConn
}

func (t gatedTx) Commit() error {
	if err := t.conn.pass(); err != nil {
		t.Tx.Rollback()
		return err
	}
	err := t.Tx.Commit()
	if err == nil && t.conn.gate.lose.CompareAndSwap(true, false) {
		return errLost
	}
	return err
}

type gatedStmt struct {
	driver.Stmt
	conn *gatedConn
}

func (s *gatedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.conn.pass(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *gatedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.conn.pass(); err != nil {
		return nil, err
	}
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
