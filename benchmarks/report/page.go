package main

import (
	"fmt"
	"strings"
)

var clientNames = []string{"goredis", "rueidis", "rueidis-nocache", "redigo"}

// page is the README of the results.
func page(r *results, charts []chart) string {
	var b strings.Builder
	b.WriteString("# Results\n\nWritten by `" + r.setting("command") + "`; don't edit. ")
	b.WriteString("The raw results are in [benchmarks.txt](benchmarks.txt), for benchstat. ")
	b.WriteString("What one Redis carries is in [SCALE.md](SCALE.md).\n\n")
	b.WriteString(settings(r))
	b.WriteString(`
Only ratios mean something on another machine. A ratio is one of throughputs, 1 is as fast as what it is compared with; it is taken within blocks in which both run in turn, in slices of 10 ms, and is the median over the blocks. With c = 1, client and server share one CPU (c = 1 unpinned: where the scheduler puts them).

`)
	for _, s := range []struct{ title, text string }{
		{"Goals", goalTable(r)},
		{"Calls", callSection(r)},
		{"Other ways to do it", rivalSection(r)},
		{"Waiting", waitSection(r)},
		{"In one process", r.unitTable("Local/", [2]string{"ns/op", "ns"}, [2]string{"floor-ns", "singleflight ns"}, [2]string{"x-floor", "of singleflight"}, [2]string{"allocs/op", "allocations"})},
		{"Errors", r.unitTable("Error/", [2]string{"ns/op", "ns"}, [2]string{"x-value", "of a replayed value"}, [2]string{"allocs/op", "allocations"})},
		{"Codecs and transforms", r.unitTable("Codec/", [2]string{"ns/op", "ns"}, [2]string{"x-raw", "of bytes as they are"}, [2]string{"allocs/op", "allocations"})},
		{"Tracing", r.unitTable("Tracing/", [2]string{"ns/op", "ns"}, [2]string{"x-off", "of no tracing"}, [2]string{"allocs/op", "allocations"})},
		{"HTTP middleware", r.unitTable("HTTP/", [2]string{"ns/op", "ns"}, [2]string{"x-handler", "of the handler alone"}, [2]string{"allocs/op", "allocations"})},
		{"Floors", r.unitTable("Floor/", [2]string{"ns/op", "ns"})},
		{"Bare protocol", r.unitTable("Bare/", [2]string{"ns/op", "ns"}, [2]string{"x-floor", "of the floor"})},
	} {
		if s.text != "" {
			fmt.Fprintf(&b, "## %s\n\n%s\n\n", s.title, strings.TrimSpace(s.text))
		}
	}
	if len(charts) > 0 {
		b.WriteString("## Charts\n\n")
		for _, c := range charts {
			fmt.Fprintf(&b, "![%s](%s)\n\n", c.title, c.file)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// settings are the machine and the versions.
func settings(r *results) string {
	t := &table{head: []string{"", ""}}
	for _, line := range r.config {
		switch line[0] {
		case "command", "pkg", "goos", "goarch", "cpu":
		default:
			t.add(line[0], line[1])
		}
	}
	return t.String()
}

func goalTable(r *results) string {
	t := &table{head: []string{"", "goal", "measured, the worst", ""}}
	for _, g := range goals {
		measured, met, known := g.check(r)
		switch {
		case !known:
			t.add(g.what, g.want, "not measured", "")
		case met:
			t.add(g.what, g.want, measured, "met")
		default:
			t.add(g.what, g.want, measured, "**not met**")
		}
	}
	return t.String()
}

// callNames are the benchmarks of one row: a client, what, a size, at 1, 16 and
// 128 goroutines.
func callNames(client, what, size string) []string {
	var names []string
	for _, c := range []string{"c=1", "c=16", "c=128"} {
		names = append(names, "Call/"+client+"/"+what+"/"+size+"/"+c)
	}
	return names
}

func callSection(r *results) string {
	var b strings.Builder
	t := &table{head: []string{"c = 1 / 16 / 128", "of the floor", "of the bare protocol", "us", "commands", "round trips", "allocations", "over bare", "connections"}}
	for _, client := range clientNames {
		for _, what := range []string{"fresh", "replay", "hot"} {
			for _, size := range []string{"128B", "16KiB"} {
				names := callNames(client, what, size)
				if ratio := r.cells("x-floor", names...); ratio != "" {
					t.add(client+" "+what+" "+size, ratio, r.cells("x-bare", names...), r.micro(names...),
						r.cell(names[0], "cmds/op"), r.cell(names[0], "rtt/op"), r.cell(names[0], "allocs/op"),
						r.cell(names[0], "allocs-over-bare"), r.cells("conns", names...))
				}
			}
		}
	}
	if len(t.rows) == 0 {
		return ""
	}
	b.WriteString("The floor of a fresh call is two SETs, that of a replay one GET, by the client as it comes. The bare protocol is what a call sends, sent in a loop by the same client. A hot replay is answered by rueidis' cache. The rueidis backend is measured once it trusts its connections, after some hundred answers; before, each call that could be cancelled has a goroutine of its own.\n\n")
	b.WriteString("With 16 and 128 goroutines a call can be faster than what it consists of, because the backends send the commands of several calls as one pipeline, and neither the floor nor the bare protocol does. A client that is told to do so by itself (AutoPipeline of go-redis, MaxFlushDelay of rueidis) would be faster there, too.\n\n")
	b.WriteString(t.String())
	u := &table{head: []string{"c = 1 unpinned", "of the floor", "of the bare protocol"}}
	for _, name := range r.below("Call/") {
		if head, found := strings.CutSuffix(name, "/c=1-unpinned"); found {
			u.add(strings.ReplaceAll(short(head), "/", " "), r.cell(name, "x-floor"), r.cell(name, "x-bare"))
		}
	}
	if len(u.rows) > 0 {
		b.WriteString("\n" + u.String())
	}
	return b.String()
}

// micro are the times in microseconds.
func (r *results) micro(names ...string) string {
	var texts []string
	for _, name := range names {
		if v, found := r.get(name, "ns/op"); found {
			texts = append(texts, number(v/1e3))
		} else {
			texts = append(texts, "-")
		}
	}
	return strings.Join(texts, " / ")
}

func waitSection(r *results) string {
	var b strings.Builder
	for _, s := range []struct{ text, table string }{
		{"From the end of an action until a caller in another process has the answer, beside PUBLISH to receive:", r.unitTable("Wake/",
			[2]string{"p50-us", "p50 us"}, [2]string{"p99-us", "p99 us"}, [2]string{"raw-p50-us", "raw p50 us"}, [2]string{"raw-p99-us", "raw p99 us"},
			[2]string{"p50-x-raw", "p50 ratio"}, [2]string{"p99-x-raw", "p99 ratio"})},
		{"1,000 callers in other processes than the action's, all commands counted, those of the action's process too:", r.unitTable("Herd/",
			[2]string{"last-ms", "last one, ms after the action"}, [2]string{"cmds/op", "commands"}, [2]string{"conns", "extra connections"})},
		{"5 and 100 callers of an action of 50 ms:", r.unitTable("Callers/", [2]string{"last-ms", "last one, ms after the action"})},
	} {
		if s.table != "" {
			b.WriteString(s.text + "\n\n" + s.table + "\n")
		}
	}
	return b.String()
}
