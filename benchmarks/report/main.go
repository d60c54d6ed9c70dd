// Command report runs the benchmarks and shows what they found: raw results in
// the format of benchstat with the machine and all versions, tables in Markdown,
// charts in SVG, and the goals with what was measured.
//
//	go -C benchmarks/report run .                      all of it, into benchmarks/results
//	go -C benchmarks/report run . -quick               a glance
//	go -C benchmarks/report run . -select 'Call/goredis|Wake'
//	go -C benchmarks/report run . -readme README.md    also into the marked section of that file
//	go -C benchmarks/report run . -render              draws again what benchmarks/results has
//
// A quick or selected run goes into a temporary directory, whose name it prints,
// unless -out names another.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

const rawFile = "benchmarks.txt"

type options struct {
	selected string
	quick    bool
	count    int
	out      string
	readme   string
	render   bool
}

func main() {
	var o options
	flag.StringVar(&o.selected, "select", "", "run only what matches this `regexp`, as go test -bench has it: elements between slashes")
	flag.BoolVar(&o.quick, "quick", false, "measure for a fraction of the time")
	flag.IntVar(&o.count, "count", 1, "how often to run each benchmark; the tables show medians")
	flag.StringVar(&o.out, "out", "", "`directory` for results, in the repository where it is relative (default benchmarks/results, or a temporary one)")
	flag.StringVar(&o.readme, "readme", "", "`file` whose section between the markers is to be replaced, in the repository where it is relative")
	flag.BoolVar(&o.render, "render", false, "run nothing, draw the results in -out again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := report(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func report(ctx context.Context, o options) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	out, err := o.directory(root)
	if err != nil {
		return err
	}
	raw := filepath.Join(out, rawFile)
	if !o.render {
		begun := time.Now()
		if err := run(ctx, root, raw, o); err != nil {
			return err
		}
		fmt.Printf("ran for %v\n", time.Since(begun).Round(time.Second))
	}
	results, err := readResults(raw)
	if err != nil {
		return err
	}
	if err := write(out, results); err != nil {
		return err
	}
	fmt.Printf("results are in %s\n", out)
	if o.readme == "" {
		return nil
	}
	file := o.readme
	if !filepath.IsAbs(file) {
		file = filepath.Join(root, file)
	}
	return updateReadme(file, out, results)
}

// directory is where results go: a glance doesn't replace the results that the
// repository keeps.
func (o options) directory(root string) (string, error) {
	out := o.out
	switch {
	case out != "" && !filepath.IsAbs(out):
		out = filepath.Join(root, out)
	case out == "" && !o.render && (o.quick || o.selected != ""):
		return os.MkdirTemp("", "reprise-benchmarks-")
	case out == "":
		out = filepath.Join(root, "benchmarks", "results")
	}
	return out, os.MkdirAll(out, 0o755)
}

// write makes all tables and charts from the results.
func write(out string, results *results) error {
	charts, err := drawCharts(out, results)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "README.md"), []byte(page(results, charts)), 0o644); err != nil {
		return err
	}
	scale, err := scalePage(results)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "SCALE.md"), []byte(scale), 0o644)
}
