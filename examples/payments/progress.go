package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// progress shows how far the client is: a line that is drawn again and again on a
// terminal, and a line now and then where the output is kept.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	total    int
	done     int
	requests int
}

func newProgress(out *os.File, total int) *progress {
	info, err := out.Stat()
	return &progress{w: out, total: total, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

const clearLine = "\r\x1b[K"

// event tells what has happened.
func (p *progress) event(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.w, clearLine)
	}
	fmt.Fprintf(p.w, "  "+format+"\n", args...)
	p.draw()
}

// finished counts a payment.
func (p *progress) finished(r played) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	p.requests += r.requests
	p.draw()
	if !p.terminal && (p.done*4/p.total != (p.done-1)*4/p.total) {
		fmt.Fprintf(p.w, "  %d of %d payments, %d requests\n", p.done, p.total, p.requests)
	}
}

func (p *progress) draw() {
	if !p.terminal {
		return
	}
	const width = 40
	filled := p.done * width / p.total
	fmt.Fprintf(p.w, "\r  [%s%s] %d/%d payments, %d requests",
		strings.Repeat("#", filled), strings.Repeat(".", width-filled), p.done, p.total, p.requests)
}

// end leaves the cursor on a new line.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprintln(p.w)
	}
}
