package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	beginMark = "<!-- benchmarks:begin -->"
	endMark   = "<!-- benchmarks:end -->"
)

// updateReadme replaces what stands between the marks in a file.
func updateReadme(path, out string, r *results) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	folder, err := filepath.Rel(filepath.Dir(path), out)
	if err != nil {
		return err
	}
	replaced, err := between(string(text), summary(r, filepath.ToSlash(folder)))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(replaced), 0o644)
}

func between(text, section string) (string, error) {
	head, rest, begun := strings.Cut(text, beginMark)
	_, tail, ended := strings.Cut(rest, endMark)
	if !begun || !ended {
		return "", errors.New("no section between " + beginMark + " and " + endMark)
	}
	return head + beginMark + "\n" + strings.TrimSpace(section) + "\n" + endMark + tail, nil
}

// summary is the section: what a reader wants to know first. Folder is where the
// results are, seen from the file.
func summary(r *results, folder string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Throughput as a share of the raw client's: a fresh call against two SETs, a replay against one GET, of 128 bytes; with one goroutine, client and server share a CPU (%s, %s cores, Redis %s, %s). More than 1 is faster than the raw client: under load the commands of several calls go as one pipeline.\n\n",
		r.setting("cpu-model"), r.setting("cores"), r.setting("redis"), r.setting("go"))
	t := &table{head: []string{"goroutines: 1 / 16 / 128", "go-redis", "rueidis", "redigo"}}
	row := func(title, unit string, what ...string) {
		cells := []string{title}
		for i, client := range []string{"goredis", "rueidis", "redigo"} {
			cells = append(cells, r.cells(unit, callNames(client, what[min(i, len(what)-1)], "128B")...))
		}
		if strings.Join(cells[1:], "") != "" {
			t.add(cells...)
		}
	}
	row("fresh call, of two SETs", "x-floor", "fresh")
	row("fresh call, of the same commands without this library", "x-bare", "fresh")
	cells := []string{"replay, of one GET"}
	for _, client := range []string{"goredis", "rueidis-nocache", "redigo"} {
		cells = append(cells, r.cells("x-floor", callNames(client, "replay", "128B")...))
	}
	t.add(cells...)
	t.add("replay from the client's cache, of one GET that goes to the server", "", r.cells("x-floor", callNames("rueidis", "hot", "128B")...), "")
	single := func(title, unit, format string) {
		cells := []string{title}
		for _, client := range []string{"goredis", "rueidis", "redigo"} {
			cells = append(cells, r.cell(fmt.Sprintf(format, client), unit))
		}
		if strings.Join(cells[1:], "") != "" {
			t.add(cells...)
		}
	}
	single("waking a caller in another process, p50 in us", "p50-us", "Wake/%s")
	single("the same for a raw PUBLISH to receive", "raw-p50-us", "Wake/%s")
	single("1,000 callers in another process: last one served, ms after the action", "last-ms", "Herd/%s/1-process/n=1000")
	single("commands for all of them", "cmds/op", "Herd/%s/1-process/n=1000")
	b.WriteString(t.String())
	if len(r.below("Rival/")) > 0 {
		fmt.Fprintf(&b, "\n![A fresh call, beside other ways to do it](%s/rivals.svg)\n", folder)
	} else if len(r.below("Call/")) > 0 {
		fmt.Fprintf(&b, "\n![Throughput as a share of the raw client's](%s/calls.svg)\n", folder)
	}
	met, known := 0, 0
	for _, g := range goals {
		if _, m, k := g.check(r); k {
			known++
			if m {
				met++
			}
		}
	}
	fmt.Fprintf(&b, "\n%d of %d goals are met; [all results](%s/README.md) has them, the machine, the rivals and what each part costs, [what one Redis carries](%s/SCALE.md) the limits. Made by `%s`.\n",
		met, known, folder, folder, r.setting("command"))
	return b.String()
}
