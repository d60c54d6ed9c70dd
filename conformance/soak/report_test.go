//go:build unix

package soak

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	reported    = 5  // violations in the message
	linesAKey   = 60 // of the log, for each of them
	storyFormat = "story-%d.txt"
)

// report fails the test with what was found: for each violation the lines of its
// key, the last ones in the message and all of them in a file.
func (s *soak) report() {
	s.t.Helper()
	s.told = true
	for i, v := range s.found {
		if i == reported {
			s.t.Errorf("and %d more", len(s.found)-reported)
			return
		}
		s.t.Errorf("%v\n%s", v, s.story(i, v))
	}
	if len(s.found) > 0 {
		s.t.Logf("seed %d, logs in %s", s.options.seed, s.dir)
	}
}

// story is what happened to the key of a violation.
func (s *soak) story(n int, v violation) string {
	if v.key == "" {
		return ""
	}
	lines := s.linesOf(v.key)
	path := filepath.Join(s.dir, fmt.Sprintf(storyFormat, n))
	note := fmt.Sprintf("(all %d lines in %s)", len(lines), path)
	if err := os.WriteFile(path, []byte(v.String()+"\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		note = err.Error()
	}
	if extra := len(lines) - linesAKey; extra > 0 {
		lines = append([]string{fmt.Sprintf("... %d lines before", extra)}, lines[extra:]...)
	}
	return strings.Join(append(lines, note), "\n")
}

// linesOf are the events of a key in order, with what happened meanwhile to the
// workers that had to do with it, and to the servers.
func (s *soak) linesOf(key string) []string {
	var all []event
	for _, t := range s.tails {
		from := &tail{path: t.path}
		_ = from.lines(func(line []byte) error {
			e, err := parseEvent(line)
			if err == nil {
				all = append(all, e)
			}
			return nil
		})
	}
	workers := map[int]bool{}
	first, last := int64(0), int64(0)
	for _, e := range all {
		if e.Key != key {
			continue
		}
		workers[e.Worker] = true
		if first == 0 || e.At < first {
			first = e.At
		}
		last = max(last, e.At)
	}
	all = slices.DeleteFunc(all, func(e event) bool {
		about := e.Key == "" && e.Kind != evAlive && (workers[e.Worker] || e.Worker == 0) && e.At >= first && e.At <= last
		return e.Key != key && !about
	})
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.At, b.At) })
	lines := make([]string, len(all))
	for i, e := range all {
		lines[i] = e.describe(s.start)
	}
	return lines
}
