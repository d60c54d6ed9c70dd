package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// tally is a row of the table.
type tally struct {
	requests, keys, charges, replays, waits, takeovers, refused int
}

func (t *tally) add(r played, charges int) {
	t.requests += r.requests
	t.keys++
	t.charges += charges
	for _, a := range slices.Concat(r.answers, r.refusals) {
		count := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		count(&t.replays, a.replayed)
		count(&t.waits, a.waited)
		count(&t.takeovers, a.takeover)
		count(&t.refused, a.refused())
	}
}

// writeTable writes what happened, by scenario.
func writeTable(w io.Writer, results []played, n *network) {
	rows, total := map[string]*tally{}, &tally{}
	for _, r := range results {
		row := rows[r.Scenario]
		if row == nil {
			row = new(tally)
			rows[r.Scenario] = row
		}
		charges := len(n.chargesOf(r.reference()))
		row.add(r, charges)
		total.add(r, charges)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, t *tally) {
		fmt.Fprintf(table, "%-13s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, t.requests, t.keys, t.charges, t.replays, t.waits, t.takeovers, t.refused)
	}
	fmt.Fprintf(table, "%-13s\trequests\tkeys\tcharges\treplays\twaits\ttakeovers\trefused\t\n", "")
	for _, scenario := range scenarios {
		if rows[scenario] != nil {
			line(scenario, rows[scenario])
		}
	}
	line("total", total)
	_ = table.Flush()
}

// mostLines is how much of a long list is shown.
const mostLines = 10

func writeList(w io.Writer, lines []string) {
	for _, line := range lines[:min(len(lines), mostLines)] {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if more := len(lines) - mostLines; more > 0 {
		fmt.Fprintf(w, "  ... and %d more\n", more)
	}
}

// doubleCharges is the keys that were charged more than once, and the money that
// was taken too much, by currency.
func doubleCharges(results []played, n *network) (lines []string, money string) {
	tooMuch := map[string]int64{}
	for _, r := range results {
		charges := n.chargesOf(r.reference())
		if len(charges) < 2 {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s (%s): charged %d times: %s", r.reference(), r.Scenario, len(charges), describeCharges(charges)))
		for _, c := range charges[1:] {
			tooMuch[c.Currency] += c.Amount
		}
	}
	var sums []string
	for _, currency := range slices.Sorted(maps.Keys(tooMuch)) {
		sums = append(sums, formatAmount(tooMuch[currency], currency))
	}
	return lines, strings.Join(sums, ", ")
}

// formatAmount writes an amount of the currency's smallest unit.
func formatAmount(amount int64, currency string) string {
	if currency == "jpy" { // has no smaller unit
		return fmt.Sprintf("%d %s", amount, strings.ToUpper(currency))
	}
	return fmt.Sprintf("%d.%02d %s", amount/100, amount%100, strings.ToUpper(currency))
}
