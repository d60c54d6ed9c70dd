package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// table is a Markdown table.
type table struct {
	head []string
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// dropEmpty removes the columns, but the first, that have no cells.
func (t *table) dropEmpty() {
	for i := len(t.head) - 1; i > 0; i-- {
		if !slices.ContainsFunc(t.rows, func(row []string) bool { return row[i] != "" }) {
			t.head = slices.Delete(t.head, i, i+1)
			for j := range t.rows {
				t.rows[j] = slices.Delete(t.rows[j], i, i+1)
			}
		}
	}
}

func (t *table) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// number shows three digits of a value.
func number(v float64) string {
	switch size := math.Abs(v); {
	case v == math.Trunc(v) && size < 1e6:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', 1, 64) + " M"
	case size >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case size >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// cell is a value of a benchmark, empty where it wasn't measured.
func (r *results) cell(name, unit string) string {
	v, found := r.get(name, unit)
	if !found {
		return ""
	}
	return number(v)
}

// cells are the values of one unit of several benchmarks, with slashes between;
// empty where none was measured.
func (r *results) cells(unit string, names ...string) string {
	var texts []string
	found := false
	for _, name := range names {
		text := r.cell(name, unit)
		if text == "" {
			text = "-"
		} else {
			found = true
		}
		texts = append(texts, text)
	}
	if !found {
		return ""
	}
	return strings.Join(texts, " / ")
}

// unitTable is a table of the benchmarks with a prefix and some of their units;
// a unit that none of them has is left out.
func (r *results) unitTable(prefix string, units ...[2]string) string {
	names := r.below(prefix)
	t := &table{head: []string{""}}
	var kept []string
	for _, unit := range units {
		for _, name := range names {
			if _, found := r.get(name, unit[0]); found {
				t.head = append(t.head, unit[1])
				kept = append(kept, unit[0])
				break
			}
		}
	}
	if len(kept) == 0 {
		return ""
	}
	for _, name := range names {
		row := []string{strings.TrimPrefix(name, prefix)}
		for _, unit := range kept {
			row = append(row, r.cell(name, unit))
		}
		t.add(row...)
	}
	return t.String()
}
