package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Conn is a connection for control commands. It is not safe for concurrent use.
type Conn struct {
	conn net.Conn
	rd   *bufio.Reader
}

// ReplyError is an error reply of the server.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// Dial connects to a server.
func Dial(addr string) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Conn{conn: conn, rd: bufio.NewReader(conn)}, nil
}

// Addr is the address of the server.
func (c *Conn) Addr() string { return c.conn.RemoteAddr().String() }

// Close closes the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Do sends a command and reads its reply: a string (also for status replies),
// an int64, nil or a []any. It gives up after ten seconds.
func (c *Conn) Do(args ...string) (any, error) {
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if err := c.send(args...); err != nil {
		return nil, err
	}
	return c.read()
}

// Read reads what the server sends by itself, a message for instance. It gives
// up after ten seconds.
func (c *Conn) Read() (any, error) {
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	return c.read()
}

func (c *Conn) send(args ...string) error {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, arg := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	_, err := c.conn.Write(b)
	return err
}

func (c *Conn) read() (any, error) {
	line, err := c.rd.ReadString('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 3 {
		return nil, fmt.Errorf("redistest: reply %q", line)
	}
	kind, line := line[0], line[1:len(line)-2]
	switch kind {
	case '+':
		return line, nil
	case '-':
		return nil, ReplyError(line)
	case ':':
		return strconv.ParseInt(line, 10, 64)
	case '$', '*':
		n, err := strconv.Atoi(line)
		if err != nil || n < 0 {
			return nil, err
		}
		if kind == '$' {
			b := make([]byte, n+2)
			if _, err := io.ReadFull(c.rd, b); err != nil {
				return nil, err
			}
			return string(b[:n]), nil
		}
		items := make([]any, n)
		for i := range items {
			items[i], err = c.read()
			var reply ReplyError
			if errors.As(err, &reply) {
				items[i] = reply
			} else if err != nil {
				return nil, err
			}
		}
		return items, nil
	default:
		return nil, fmt.Errorf("redistest: reply of kind %q", kind)
	}
}
