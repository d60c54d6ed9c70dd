package main

import (
	"slices"
	"strings"
)

// rivalSection is a table per scenario of the rivals, names in rows and
// concurrency in columns.
func rivalSection(r *results) string {
	var b strings.Builder
	for _, scenario := range r.scenarios() {
		t := &table{head: []string{r.levels(scenario), "of the floor", "us", "last one, ms", "commands", "round trips", "connections"}}
		for _, rival := range r.rivals(scenario) {
			names := r.rivalNames(rival, scenario)
			var micro string
			if r.cells("ns/op", names...) != "" {
				micro = r.micro(names...)
			}
			t.add(rival, r.cells("x-floor", names...), micro, r.cells("last-ms", names...),
				r.cells("cmds/op", names...), r.cells("rtt/op", names...), r.cells("conns", names...))
		}
		b.WriteString(scenario + ":\n\n" + t.String() + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// levels are the concurrencies of a scenario, as the head of its table.
func (r *results) levels(scenario string) string {
	var all []string
	for _, rival := range r.rivals(scenario) {
		for _, name := range r.rivalNames(rival, scenario) {
			if _, n, ok := strings.Cut(name[strings.LastIndex(name, "/")+1:], "c="); ok && !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return "c = " + strings.Join(all, " / ")
}

// scenarios of the rivals, in the order in which they ran: Rival/NAME/SCENARIO/c=N.
func (r *results) scenarios() (all []string) {
	for _, name := range r.below("Rival/") {
		if parts := strings.Split(name, "/"); len(parts) >= 4 {
			scenario := strings.Join(parts[2:len(parts)-1], "/")
			if !slices.Contains(all, scenario) {
				all = append(all, scenario)
			}
		}
	}
	return all
}

// rivals that have a scenario.
func (r *results) rivals(scenario string) (all []string) {
	for _, name := range r.below("Rival/") {
		parts := strings.Split(name, "/")
		if len(parts) >= 4 && strings.Join(parts[2:len(parts)-1], "/") == scenario && !slices.Contains(all, parts[1]) {
			all = append(all, parts[1])
		}
	}
	return all
}

// rivalNames are the benchmarks of a rival in a scenario, by concurrency.
func (r *results) rivalNames(rival, scenario string) (names []string) {
	prefix := "Rival/" + rival + "/" + scenario + "/"
	for _, name := range r.below(prefix) {
		if !strings.Contains(strings.TrimPrefix(name, prefix), "/") {
			names = append(names, name)
		}
	}
	return names
}
