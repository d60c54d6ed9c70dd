package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// results are the benchmarks of a run, by name without "Benchmark" and without
// the number of CPUs at the end.
type results struct {
	config [][2]string
	names  []string
	values map[string]map[string][]float64 // by name and unit, one for each count
}

func readResults(path string) (*results, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := &results{values: map[string]map[string][]float64{}}
	reader := benchfmt.NewReader(file, path)
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			r.add(record)
		case *benchfmt.SyntaxError:
			return nil, record
		}
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	if len(r.names) == 0 {
		return nil, fmt.Errorf("%s has no results", path)
	}
	return r, nil
}

func (r *results) add(record *benchfmt.Result) {
	if r.config == nil {
		for _, line := range record.Config {
			if line.File {
				r.config = append(r.config, [2]string{line.Key, string(line.Value)})
			}
		}
	}
	base, parts := record.Name.Parts()
	name := string(base)
	for _, part := range parts {
		if part[0] != '-' {
			name += string(part)
		}
	}
	if r.values[name] == nil {
		r.values[name] = map[string][]float64{}
		r.names = append(r.names, name)
	}
	for _, value := range record.Values {
		unit, number := value.Unit, value.Value
		if value.OrigUnit != "" {
			unit, number = value.OrigUnit, value.OrigValue
		}
		r.values[name][unit] = append(r.values[name][unit], number)
	}
}

// get is the median of a value over the counts.
func (r *results) get(name, unit string) (float64, bool) {
	values := r.values[name][unit]
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2, true
	}
	return sorted[len(sorted)/2], true
}

// below are the names of the benchmarks with a prefix, in the order in which
// they ran.
func (r *results) below(prefix string) (names []string) {
	for _, name := range r.names {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// setting is a configuration line.
func (r *results) setting(key string) string {
	for _, line := range r.config {
		if line[0] == key {
			return line[1]
		}
	}
	return "unknown"
}
