package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

func sample(t *testing.T) *results {
	t.Helper()
	r, err := readResults("testdata/sample.txt")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReadResults(t *testing.T) {
	r := sample(t)
	for _, c := range []struct {
		name, unit string
		want       float64
	}{
		{"Call/goredis/fresh/128B/c=1", "x-floor", 0.8}, // the median of three
		{"Call/goredis/fresh/128B/c=1", "ns/op", 50_000},
		{"Call/goredis/fresh/128B/c=1-unpinned", "x-floor", 0.7},
		{"Herd/goredis/1-process/n=1000", "last-ms", 2.5},
		{"Call/rueidis/hot/128B/c=1", "cmds/op", 0},
	} {
		if got, found := r.get(c.name, c.unit); !found || got != c.want {
			t.Errorf("%s %s is %v, %v, want %v", c.name, c.unit, got, found, c.want)
		}
	}
	if _, found := r.get("Call/goredis/fresh/128B/c=1", "p50-us"); found {
		t.Error("a unit that isn't there was found")
	}
	if got := r.setting("redis"); got != "7.0.15" {
		t.Errorf("redis is %q", got)
	}
	if got := r.setting("what"); got != "unknown" {
		t.Errorf("what nobody set is %q", got)
	}
}

func TestUnreadableResults(t *testing.T) {
	if _, err := readResults("testdata/missing.txt"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, text := range []string{"", "date: today\n", "BenchmarkX-2 many ns/op\n"} {
		path := filepath.Join(t.TempDir(), "raw.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readResults(path); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// The pages that the sample makes. A change of them is read in the diff.
func TestPages(t *testing.T) {
	r := sample(t)
	scale, err := scalePage(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{
		"page": page(r, []chart{{"Calls", "calls.svg"}}), "summary": summary(r, "benchmarks/results"), "scale": scale,
	} {
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s (write it anew with -update):\n%s", name, path, got)
		}
	}
}

func TestGoals(t *testing.T) {
	r := sample(t)
	byName := map[string]goal{}
	for _, g := range goals {
		byName[g.what] = g
	}
	for what, want := range map[string]struct {
		met, known bool
		measured   string
	}{
		// One of several clients misses it: the worst one is shown.
		"fresh call, 128 B, every client at c = 1, 16, 128":        {false, true, "0.90 x-bare (rueidis/fresh/128B/c=16)"},
		"the same against the raw floor":                           {true, true, "0.72 x-floor (redigo/fresh/128B/c=128)"},
		"replay from rueidis' cache, c = 1":                        {true, true, "25 x-floor (rueidis/hot/128B/c=1); 0 cmds/op (rueidis/hot/128B/c=1)"},
		"fresh call in memory, c = 1, against singleflight":        {true, true, "8 times (fresh/c=1); 9 allocs/op (fresh/c=1)"},
		"joining a running call, against singleflight":             {false, false, ""},
		"wake-up in another process against PUBLISH to receive":    {false, true, "1.70 p50-x-raw (goredis); 2 p99-x-raw (goredis)"},
		"1,000 callers in one other process: the last one":         {true, true, "2.50 last-ms (goredis/1-process/n=1000)"},
		"the same with a fingerprint of 32 B and a span context":   {false, true, "398 B/record (full)"},
		"memory in Redis, completed record of 128 B":               {true, true, "334 B/record (plain)"},
		"1,000 callers in one other process":                       {true, true, "7 cmds/op (goredis/1-process/n=1000); 1 conns (goredis/1-process/n=1000)"},
		"commands and round trips, 128 B":                          {false, true, "3 cmds/op (redigo/fresh/128B/c=128); 2 rtt/op (goredis/fresh/128B/c=1); 1 cmds/op (redigo/replay/128B/c=1); 1 rtt/op (redigo/replay/128B/c=1)"},
		"5 and 100 callers of an action of 50 ms: the last one":    {false, false, ""},
		"1,000 callers in four other processes":                    {false, false, ""},
		"replay in memory, c = 1, against singleflight":            {false, false, ""},
		"replay, 128 B and 16 KiB, every client at c = 1, 16, 128": {true, true, "0.95 x-bare (redigo/replay/128B/c=1)"},
		"fresh call, 16 KiB":                                       {false, false, ""},
		"allocations over the bare commands, 128 B, c = 1":         {true, true, "5 allocs-over-bare (goredis/fresh/128B/c=1); 0 allocs-over-bare (redigo/replay/128B/c=1)"},
	} {
		g, found := byName[what]
		if !found {
			t.Errorf("no goal %q", what)
			continue
		}
		measured, met, known := g.check(r)
		if met != want.met || known != want.known || measured != want.measured {
			t.Errorf("%s: %q, met %v, known %v; want %+v", what, measured, met, known, want)
		}
	}
}

// A chart is XML, is transparent, and has no text that only one background
// shows.
func TestCharts(t *testing.T) {
	dir := t.TempDir()
	drawn, err := drawCharts(dir, sample(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(drawn) != 4 {
		t.Errorf("drawn are %v", drawn)
	}
	for _, c := range drawn {
		text, err := os.ReadFile(filepath.Join(dir, c.file))
		if err != nil {
			t.Fatal(err)
		}
		texts, inText := 0, ""
		for decoder := xml.NewDecoder(bytes.NewReader(text)); ; {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
			switch token := token.(type) {
			case xml.StartElement:
				inText = ""
				if token.Name.Local == "text" {
					texts++
					for _, attribute := range token.Attr {
						inText += attribute.Value + ";"
					}
					if !strings.Contains(inText, "#737D88") || !strings.Contains(inText, "sans-serif") {
						t.Errorf("%s has text as %s", c.file, inText)
					}
				}
			case xml.CharData:
				if strings.Contains(string(token), "NaN") {
					t.Errorf("%s shows %q", c.file, token)
				}
			}
		}
		if texts < 5 {
			t.Errorf("%s has %d texts", c.file, texts)
		}
		for _, bad := range []string{"NaN", "Inf", "#FFFFFF", "#000000"} {
			if bytes.Contains(text, []byte(bad)) {
				t.Errorf("%s has %s", c.file, bad)
			}
		}
	}
}

func TestBetween(t *testing.T) {
	text := "before\n" + beginMark + "\nold\n" + endMark + "\nafter\n"
	got, err := between(text, "\nnew\n\n")
	if want := "before\n" + beginMark + "\nnew\n" + endMark + "\nafter\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if again, err := between(got, "new"); err != nil || again != got {
		t.Errorf("replaced twice it is %q, %v", again, err)
	}
	for _, text := range []string{"", beginMark, endMark + beginMark} {
		if _, err := between(text, "new"); err == nil {
			t.Errorf("%q was replaced", text)
		}
	}
}

func TestReadmeOfACopy(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "README.md"), filepath.Join(dir, "benchmarks", "results")
	if err := os.WriteFile(path, []byte("# It\n\n"+beginMark+"\n"+endMark+"\n\n## Licence\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := updateReadme(path, out, sample(t)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# It", "## Licence", "(benchmarks/results/README.md)", "| fresh call, of two SETs |"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		expression, name, pattern string
		selected                  bool
	}{
		{"", "BenchmarkCall", "^BenchmarkCall$", true},
		{"Call", "BenchmarkCall", "^BenchmarkCall$", true},
		{"Call", "BenchmarkCallers", "^BenchmarkCallers$", true},
		{"Call$", "BenchmarkCallers", "", false},
		{"Call/goredis|Wake", "BenchmarkWake", "^BenchmarkWake$", true},
		{"Call/goredis/(fresh|hot)|Wake", "BenchmarkCall", "^BenchmarkCall$/goredis/(fresh|hot)", true},
		{"Call/a|Call/b", "BenchmarkCall", "^BenchmarkCall$/a|^BenchmarkCall$/b", true},
	} {
		pattern, selected, err := selectedBy(c.expression, c.name)
		if err != nil || pattern != c.pattern || selected != c.selected {
			t.Errorf("%q of %s: %q, %v, %v", c.expression, c.name, pattern, selected, err)
		}
	}
	if _, _, err := selectedBy("(", "BenchmarkCall"); err == nil {
		t.Error("a broken expression was taken")
	}
}

// Where everything takes twice as long as was guessed, so will the rest.
func TestEstimate(t *testing.T) {
	now := time.Unix(0, 0)
	jobs := []job{{name: "a", estimate: 10 * time.Second}, {name: "b", estimate: 30 * time.Second}}
	p := newProgress(jobs)
	p.out, p.now = io.Discard, func() time.Time { return now }
	if left := p.remaining(); left != 40*time.Second {
		t.Errorf("%v left at the beginning", left)
	}
	p.begin(jobs[0])
	now = now.Add(20 * time.Second)
	p.end(jobs[0])
	if left := p.remaining(); left != time.Minute {
		t.Errorf("%v left after one", left)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 2: "2", 0.857: "0.86", 12.34: "12.3", 345.6: "346", 1234567.8: "1.2 M", -14.96: "-15.0"} {
		if got := number(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{7: "7", 99: "99", 123: "120", 12345: "12,000", 1999999: "2,000,000"} {
		if got := thousands(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
