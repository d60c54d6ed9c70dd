package redistest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Monitor records the commands that clients send to a server; those that Lua
// scripts run are not among them. One at a time per server: it ends with a
// command of its own.
type Monitor struct {
	tb   testing.TB
	addr string
	conn *Conn
	done chan struct{}

	mu       sync.Mutex
	commands []string
	err      error
}

const monitorEnd = "reprise-monitor-end"

// Watch starts recording. Stop ends it.
func Watch(tb testing.TB, addr string) *Monitor {
	tb.Helper()
	conn, err := Dial(addr)
	if err != nil {
		tb.Fatalf("redistest: monitor: %v", err)
	}
	if _, err := conn.Do("MONITOR"); err != nil {
		tb.Fatalf("redistest: monitor: %v", err)
	}
	m := &Monitor{tb: tb, addr: addr, conn: conn, done: make(chan struct{})}
	go m.record()
	return m
}

// Stop ends the recording and returns what was sent before the call, one string
// per command: its name in capitals and, for commands with subcommands, the
// subcommand ("CLIENT SETINFO"). Commands that only set up connections are left
// out: HELLO, AUTH, SELECT, PING, CLIENT and COMMAND with whatever follows.
func (m *Monitor) Stop() []string {
	m.tb.Helper()
	Do(m.tb, m.addr, "ECHO", monitorEnd)
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		m.tb.Fatalf("redistest: monitor: %v", m.err)
	}
	var sent []string
	for _, command := range m.commands {
		name, _, _ := strings.Cut(command, " ")
		switch name {
		case "HELLO", "AUTH", "SELECT", "PING", "CLIENT", "COMMAND", "INFO":
		default:
			sent = append(sent, command)
		}
	}
	return sent
}

func (m *Monitor) record() {
	defer close(m.done)
	defer m.conn.Close()
	for {
		_ = m.conn.conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		line, err := m.conn.read()
		if err != nil {
			m.mu.Lock()
			m.err = err
			m.mu.Unlock()
			return
		}
		// 1339518083.107412 [0 127.0.0.1:60866] "keys" "*"
		text, _ := line.(string)
		_, rest, _ := strings.Cut(text, " [")
		origin, rest, _ := strings.Cut(rest, "] ")
		if strings.HasSuffix(origin, " lua") {
			continue
		}
		args := strings.SplitN(rest, " ", 3)
		for i, arg := range args {
			args[i] = strings.Trim(arg, `"`)
		}
		name := strings.ToUpper(args[0])
		if name == "ECHO" && len(args) > 1 && args[1] == monitorEnd {
			return
		}
		switch name {
		case "CLIENT", "CLUSTER", "CONFIG", "PUBSUB", "SCRIPT":
			if len(args) > 1 {
				name += " " + strings.ToUpper(args[1])
			}
		}
		m.mu.Lock()
		m.commands = append(m.commands, name)
		m.mu.Unlock()
	}
}
