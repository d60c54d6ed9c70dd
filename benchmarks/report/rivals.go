package main

import (
	"slices"
	"strings"
)

// scenarioTexts say what is compared in a scenario, and what a figure hangs on.
var scenarioTexts = map[string]string{
	"fresh":        "The action runs; against two SETs by the rival's own client",
	"replay":       "The answer of an earlier call, against one GET by the rival's own client. Where no command is sent, the answer comes from the memory of the process, and is to be compared with its like",
	"wait":         "Callers at once of an action of 50 ms, in one process. With locks that are polled for, the last one's time hangs on the interval: redislock's is that of its example (100 ms), redsync's its default (50 to 250 ms), one caller after the other gets the lock; redislock-get-first and redsync-get-first look for the answer every 16 to 100 ms",
	"wait-across":  "The same from two clients that stand for two processes, for what promises that",
	"local-fresh":  "The action runs, against singleflight, which remembers nothing",
	"local-replay": "The answer of an earlier call, against a call of singleflight that runs",
	"message":      "A message that is handled, against singleflight",
	"duplicate":    "One that was handled before; watermill drops it also where the first one failed or still runs",
	"http-fresh":   "A POST over loopback, against the same server without the middleware: net/http for Reprise, fasthttp for fiber",
	"http-replay":  "The response of an earlier one",
	"http-wait":    "Requests at once with one key, in one process",
}

// rivalSection is a table per scenario of the rivals, names in rows and
// concurrency in columns. A column of which nothing was measured is left out.
func rivalSection(r *results) string {
	var b strings.Builder
	for _, scenario := range r.scenarios() {
		t := &table{head: []string{r.levels(scenario), "of the floor", "us", "last one, ms after the action", "commands", "round trips"}}
		for _, rival := range r.rivals(scenario) {
			names := r.rivalNames(rival, scenario)
			last := r.cells("last-ms", names...)
			var micro string
			if last == "" && r.cells("ns/op", names...) != "" {
				micro = r.micro(names...)
			}
			t.add(rival, r.cells("x-floor", names...), micro, last, r.cells("cmds/op", names...), r.cells("rtt/op", names...))
		}
		t.dropEmpty()
		text := scenario
		if said, known := scenarioTexts[scenario]; known {
			text += ". " + said
		}
		b.WriteString(text + ":\n\n" + t.String() + "\n")
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
