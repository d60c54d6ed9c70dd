package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress says what runs and how long the rest will take: by the guesses,
// corrected by how long those took that have ended.
type progress struct {
	out      io.Writer
	now      func() time.Time
	total    int
	done     int
	begun    time.Time
	expected time.Duration // of what has ended
	left     time.Duration // of what has not
	spent    time.Duration
	results  int
}

func newProgress(jobs []job) *progress {
	p := &progress{out: os.Stdout, now: time.Now, total: len(jobs)}
	for _, j := range jobs {
		p.left += j.estimate
	}
	fmt.Fprintf(p.out, "%d benchmarks, about %v\n", p.total, p.left.Round(time.Second))
	return p
}

func (p *progress) begin(j job) {
	p.begun = p.now()
	fmt.Fprintf(p.out, "[%d/%d] %s, about %v left in all\n", p.done+1, p.total, j.name, p.remaining().Round(time.Second))
}

// remaining is the rest of the guesses, scaled by how wrong they were so far.
func (p *progress) remaining() time.Duration {
	if p.expected < 5*time.Second {
		return p.left
	}
	return time.Duration(float64(p.left) * float64(p.spent) / float64(p.expected))
}

func (p *progress) line(line string) {
	p.results++
	name, _, _ := strings.Cut(line, "\t")
	fmt.Fprintf(p.out, "  %4.0fs %s\n", p.now().Sub(p.begun).Seconds(), strings.TrimSpace(name))
}

func (p *progress) note(line string) { fmt.Fprintln(p.out, line) }

func (p *progress) end(j job) {
	p.done++
	p.left -= j.estimate
	p.expected += j.estimate
	took := p.now().Sub(p.begun)
	p.spent += took
	fmt.Fprintf(p.out, "  %s took %v\n", j.name, took.Round(time.Second))
}
