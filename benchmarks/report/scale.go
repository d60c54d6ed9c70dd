package main

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed scale.md.tmpl
var scaleTemplate string

// missing stands in a text for what wasn't measured.
const missing = "(not measured)"

// scalePage is the page on what one Redis carries, with every figure from the
// results.
func scalePage(r *results) (string, error) {
	t, err := template.New("scale").Funcs(template.FuncMap{
		"setting":   r.setting,
		"value":     func(name, unit string) string { return orMissing(r.cell(name, unit)) },
		"table":     r.scaleTable,
		"perSecond": r.perSecond,
		"gigabyte":  r.recordsPerGigabyte,
		"daily":     r.dailyRate,
		"inFlight":  r.inFlight,
		"server":    r.serverTable,
	}).Parse(scaleTemplate)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, nil); err != nil {
		return "", err
	}
	return b.String(), nil
}

func orMissing(text string) string {
	if text == "" {
		return missing
	}
	return text
}

// scaleTable is unitTable for the template: units and titles in turn.
func (r *results) scaleTable(prefix string, units ...string) string {
	var pairs [][2]string
	for i := 0; i+1 < len(units); i += 2 {
		pairs = append(pairs, [2]string{units[i], units[i+1]})
	}
	return orMissing(strings.TrimSpace(r.unitTable(prefix, pairs...)))
}

// verbs of the server benchmark, in the order of a key's life.
var serverVerbs = []string{"claim", "lost-claim", "renewal", "commit", "replay"}

var serverSizes = []string{"128B", "4KiB", "16KiB", "256KiB"}

func (r *results) serverTable(unit string) string {
	t := &table{head: append([]string{"us"}, serverSizes...)}
	for _, verb := range serverVerbs {
		row := []string{verb}
		for _, size := range serverSizes {
			row = append(row, r.cell("Server/"+size+"/"+verb, unit))
		}
		if strings.Join(row[1:], "") != "" {
			t.add(row...)
		}
	}
	if len(t.rows) == 0 {
		return missing
	}
	return strings.TrimSpace(t.String())
}

// perSecond is how often a second has the CPU time of these verbs.
func (r *results) perSecond(size string, verbs ...string) string {
	var sum float64
	for _, verb := range verbs {
		us, found := r.get("Server/"+size+"/"+verb, "server-cpu-us")
		if !found || us <= 0 {
			return missing
		}
		sum += us
	}
	return thousands(1e6 / sum)
}

// inFlight is how many actions one CPU keeps renewed, with a lease of so many
// seconds.
func (r *results) inFlight(lease float64) string {
	us, found := r.get("Server/128B/renewal", "server-cpu-us")
	if !found || us <= 0 {
		return missing
	}
	return thousands(1e6 / us * lease / 3)
}

func (r *results) recordsPerGigabyte(name string) string {
	bytes, found := r.get(name, "B/record")
	if !found {
		return missing
	}
	return thousands((1 << 30) / bytes)
}

// dailyRate is how many fresh calls a second fill a gigabyte in a retention of a
// day.
func (r *results) dailyRate(name string) string {
	bytes, found := r.get(name, "B/record")
	if !found {
		return missing
	}
	return thousands((1 << 30) / bytes / 86400)
}

// thousands rounds to two digits and separates groups of three.
func thousands(v float64) string {
	unit := 1.0
	for v/unit >= 100 {
		unit *= 10
	}
	text := fmt.Sprintf("%.0f", float64(int(v/unit+0.5))*unit)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
