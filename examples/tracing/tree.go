package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// details are the attributes that a tree shows, and how.
var details = []struct{ key, format string }{
	{"idempotency.outcome", "%s"},
	{"idempotency.attempt", "attempt %s"},
	{"idempotency.state", "%s"},
	{"idempotency.ending", "%s"},
	{"idempotency.wait.duration", "waited %s s"},
	{"error.type", "error %s"},
}

// writeTrees writes every trace as a tree, with the links below the spans that
// have them.
func writeTrees(w io.Writer, traces []*requestTrace) {
	wide, processWide := 0, 0
	for _, t := range traces {
		t.walk(func(s *span, depth int) {
			wide = max(wide, 2*depth+utf8.RuneCountInString(s.Name))
			processWide = max(processWide, len(s.process))
		})
	}
	for _, t := range traces {
		if t.root == nil {
			fmt.Fprintf(w, "\n%d. %s: no trace\n", t.number, t.title)
			continue
		}
		fmt.Fprintf(w, "\n%d. %s: %s\n   trace %s\n", t.number, t.root.process, t.title, t.root.TraceID)
		t.walk(func(s *span, depth int) {
			indent := strings.Repeat("  ", depth)
			took := formatDuration(s.duration())
			if !s.ended {
				took = "killed"
			}
			row := fmt.Sprintf("   %-*s  %-*s  %9s  %s", wide, indent+s.Name, processWide, s.process, took, strings.Join(s.details(), ", "))
			fmt.Fprintln(w, strings.TrimRight(row, " "))
			for _, l := range s.Links {
				fmt.Fprintf(w, "   %s  -> link to %s/%s: %s\n", indent, l.TraceID, l.SpanID, t.describe(l))
			}
		})
	}
}

func (s *span) details() (out []string) {
	for _, d := range details {
		v := s.attribute(d.key)
		if v == "" {
			continue
		}
		if d.key == "idempotency.wait.duration" {
			if seconds, err := time.ParseDuration(v + "s"); err == nil {
				out = append(out, "waited "+formatDuration(seconds))
			}
			continue
		}
		out = append(out, fmt.Sprintf(d.format, v))
	}
	if s.attribute("idempotency.takeover") != "" {
		out = append(out, "takeover")
	}
	return out
}

// describe names the execution that a link leads to.
func (t *requestTrace) describe(l otlpLink) string {
	to, ok := t.story[l.SpanID]
	if !ok {
		return "a span that was not seen"
	}
	return fmt.Sprintf("%s of %s, in trace %d", to.Name, to.process, to.trace.number)
}

func formatDuration(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
