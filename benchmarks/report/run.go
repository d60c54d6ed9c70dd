package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// How long each contender is measured.
const (
	fullTime  = 250 * time.Millisecond
	quickTime = 10 * time.Millisecond
)

// job is one top-level benchmark of a module.
type job struct {
	name, binary, dir string
	pattern           string
	estimate          time.Duration
}

// guess is how long a top-level benchmark took in a full run on two cores. It
// is what the estimate begins with; as jobs end it is corrected by how long they
// took.
var guess = map[string]time.Duration{
	"BenchmarkFloor":   20 * time.Second,
	"BenchmarkBare":    24 * time.Second,
	"BenchmarkCall":    75 * time.Second,
	"BenchmarkLocal":   5 * time.Second,
	"BenchmarkWake":    14 * time.Second,
	"BenchmarkHerd":    8 * time.Second,
	"BenchmarkCallers": 25 * time.Second,
	"BenchmarkCodec":   10 * time.Second,
	"BenchmarkError":   4 * time.Second,
	"BenchmarkTracing": 8 * time.Second,
	"BenchmarkHTTP":    8 * time.Second,
	"BenchmarkScale":   150 * time.Second,
	"BenchmarkRecord":  6 * time.Second,
	"BenchmarkServer":  15 * time.Second,
	"BenchmarkRival":   180 * time.Second,
}

const unknownGuess = time.Minute

// run builds the benchmarks, runs what is selected, and writes the raw results.
func run(ctx context.Context, root, raw string, o options) error {
	work, err := os.MkdirTemp("", "reprise-report-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var jobs []job
	for _, dir := range []string{"benchmarks", "benchmarks/rivals"} {
		found, err := build(ctx, filepath.Join(root, dir), work, o)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		jobs = append(jobs, found...)
	}
	if len(jobs) == 0 {
		return fmt.Errorf("nothing matches -select %q", o.selected)
	}
	// Another name until all is there: an interrupted run leaves the last results.
	file, err := os.Create(raw + ".part")
	if err != nil {
		return err
	}
	defer file.Close()
	for _, line := range machine(root, o) {
		fmt.Fprintf(file, "%s: %s\n", line[0], line[1])
	}
	p := newProgress(jobs)
	for _, j := range jobs {
		p.begin(j)
		if err := j.run(ctx, file, p, o); err != nil {
			return err
		}
		p.end(j)
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(raw+".part", raw)
}

// build compiles the benchmarks of a directory, if it is there, and lists those
// that are selected.
func build(ctx context.Context, dir, work string, o options) ([]job, error) {
	sources, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(sources) == 0 {
		return nil, err
	}
	binary := filepath.Join(work, filepath.Base(dir)+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, err
	}
	cmd = exec.CommandContext(ctx, binary, "-test.list", "^Benchmark")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	list, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var jobs []job
	for name := range strings.FieldsSeq(string(list)) {
		pattern, selected, err := selectedBy(o.selected, name)
		if err != nil {
			return nil, err
		}
		if !selected {
			continue
		}
		estimate, known := guess[name]
		if !known {
			estimate = unknownGuess
		}
		if o.quick {
			estimate /= 5
		}
		jobs = append(jobs, job{name, binary, dir, pattern, estimate * time.Duration(o.count)})
	}
	return jobs, nil
}

// selectedBy tells whether -select, in which alternatives of whole paths are
// separated by "|" outside of parentheses, selects a top-level benchmark, and
// the pattern for -test.bench.
func selectedBy(expression, name string) (pattern string, selected bool, err error) {
	if expression == "" {
		return "^" + name + "$", true, nil
	}
	var rests []string
	for _, alternative := range splitOutside(expression, '|') {
		elements := splitOutside(alternative, '/')
		first, err := regexp.Compile(elements[0])
		if err != nil {
			return "", false, fmt.Errorf("-select: %w", err)
		}
		if first.MatchString(name) {
			rests = append(rests, strings.Join(append([]string{"^" + name + "$"}, elements[1:]...), "/"))
		}
	}
	return strings.Join(rests, "|"), len(rests) > 0, nil
}

// splitOutside splits at a byte that stands in no bracket.
func splitOutside(text string, at byte) (parts []string) {
	depth, begin := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case at:
			if depth == 0 {
				parts = append(parts, text[begin:i])
				begin = i + 1
			}
		}
	}
	return append(parts, text[begin:])
}

// run runs the job; its output goes into the raw results as it is.
func (j job) run(ctx context.Context, raw io.Writer, p *progress, o options) error {
	length := fullTime
	if o.quick {
		length = quickTime
	}
	cmd := exec.CommandContext(ctx, j.binary, "-test.run", "^$", "-test.bench", j.pattern,
		"-test.benchtime", length.String(), "-test.count", strconv.Itoa(o.count), "-test.timeout", "1h")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its servers
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir, cmd.Stderr = j.dir, os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "PASS" {
			continue
		}
		fmt.Fprintln(raw, line)
		switch {
		case strings.HasPrefix(line, "Benchmark") && strings.Contains(line, "\t"):
			p.line(line)
		case strings.HasPrefix(line, "--- SKIP"), strings.HasPrefix(line, "--- FAIL"), strings.HasPrefix(line, "    "):
			p.note(line)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	return lines.Err()
}
