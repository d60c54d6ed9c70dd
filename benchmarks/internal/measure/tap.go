package measure

import (
	"bytes"
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Command is one command as a client sent it: its name and arguments.
type Command []string

// Tap is a dialer whose connections note what is sent through them. It slows
// them down: count through one, and measure time without.
type Tap struct {
	mu       sync.Mutex
	commands []Command
	trips    []int // of each command: which round trip
	trip     int
	live     int
}

// Dial connects, with the tap between.
func (t *Tap) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.live++
	t.mu.Unlock()
	return &tapped{Conn: conn, tap: t}, nil
}

// Conns is how many connections are open.
func (t *Tap) Conns() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

// Take returns the commands that were sent since the last Take, grouped by round
// trip: what went out on a connection before anything came back. Commands that
// set a connection up are left out: HELLO, AUTH, SELECT, PING, CLIENT, COMMAND
// and INFO.
func (t *Tap) Take() (trips [][]Command) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := -1
	for i, command := range t.commands {
		switch strings.ToUpper(command[0]) {
		case "HELLO", "AUTH", "SELECT", "PING", "CLIENT", "COMMAND", "INFO":
			continue
		}
		if t.trips[i] != last {
			trips = append(trips, nil)
			last = t.trips[i]
		}
		trips[len(trips)-1] = append(trips[len(trips)-1], command)
	}
	t.commands, t.trips = nil, nil
	return trips
}

// Count is Take for those who want the numbers only.
func (t *Tap) Count() (commands, trips int) {
	taken := t.Take()
	for _, trip := range taken {
		commands += len(trip)
	}
	return commands, len(taken)
}

type tapped struct {
	net.Conn
	tap  *Tap
	once sync.Once

	// Under tap.mu.
	pending []byte // the beginning of a command
	open    bool   // something was sent, and nothing has come back
	trip    int
}

func (c *tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	if !c.open {
		c.open = true
		c.tap.trip++
		c.trip = c.tap.trip
	}
	c.pending = append(c.pending, p...)
	for {
		command, size := parseCommand(c.pending)
		if size == 0 {
			break
		}
		c.pending = c.pending[size:]
		c.tap.commands = append(c.tap.commands, command)
		c.tap.trips = append(c.tap.trips, c.trip)
	}
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.tap.mu.Lock()
		c.open = false
		c.tap.mu.Unlock()
	}
	return n, err
}

func (c *tapped) Close() error {
	c.once.Do(func() {
		c.tap.mu.Lock()
		c.tap.live--
		c.tap.mu.Unlock()
	})
	return c.Conn.Close()
}

// parseCommand reads one command (an array of bulk strings) and its size, zero
// where it isn't complete.
func parseCommand(b []byte) (Command, int) {
	n, at := parseLength(b, 0, '*')
	if at == 0 || n < 1 {
		return nil, 0
	}
	command := make(Command, 0, n)
	for range n {
		size, next := parseLength(b, at, '$')
		if next == 0 || size < 0 || len(b) < next+size+2 {
			return nil, 0
		}
		command = append(command, string(b[next:next+size]))
		at = next + size + 2
	}
	return command, at
}

func parseLength(b []byte, at int, kind byte) (n, next int) {
	if len(b) <= at || b[at] != kind {
		return 0, 0
	}
	end := bytes.Index(b[at:], []byte("\r\n"))
	if end < 0 {
		return 0, 0
	}
	n, err := strconv.Atoi(string(b[at+1 : at+end]))
	if err != nil {
		return 0, 0
	}
	return n, at + end + 2
}
