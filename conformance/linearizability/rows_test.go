package linearizability

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance"
	"github.com/reprise-go/reprise/conformance/faults"
)

// row names the row of the contract's tables that an operation falls under.
func row(s state, o *operation) string {
	own := "another's"
	if s.token == o.token {
		own = "own"
	}
	record := map[phase]string{unknown: "unknown", claimed: own + " claimed", ended: own + " ended", released: own + " released", completed: own + " completed"}[s.phase]
	switch o.verb {
	case faults.Claim:
		what := "take"
		if o.claim.Renewal {
			what = "renew"
		}
		if s.phase == unknown && !o.claim.Renewal {
			record += fmt.Sprintf(", seen 0: %v", o.claim.Seen == 0)
		} else if own != "own" && s.phase != completed && !o.claim.Renewal {
			record += fmt.Sprintf(", seen: %v, answered %v", o.claim.Seen == s.fence, o.record.State)
		}
		return what + "/" + record
	case faults.Commit:
		if s.phase == unknown {
			record += fmt.Sprintf(", held: %v", o.commit.LeaseHeld)
		}
		if s.phase == completed && own == "own" && o.commit.Ending == backend.Complete {
			record += fmt.Sprintf(", same: %v", string(o.commit.Outcome) == s.outcome)
		}
		return o.commit.Ending.String() + "/" + record
	case faults.Wait:
		return "wait/" + record + "/" + o.record.State.String()
	default:
		return strings.ToLower(o.verb.String()) + "/" + record
	}
}

// everyRow is what the generator must come to.
func everyRow() []string {
	rows := []string{
		"take/unknown, seen 0: true", "take/unknown, seen 0: false",
		"take/another's claimed, seen: true, answered claimed", "take/another's claimed, seen: false, answered claimed",
		"take/another's claimed, seen: false, answered abandoned",
		"take/another's ended, seen: true, answered claimed", "take/another's ended, seen: false, answered abandoned",
		"take/another's released, seen: true, answered claimed", "take/another's released, seen: false, answered vacant",
		"take/own claimed", "take/own ended", "take/own released", "take/own completed", "take/another's completed",
		"renew/unknown", "renew/own claimed", "renew/own ended", "renew/own released", "renew/own completed",
		"renew/another's claimed", "renew/another's ended", "renew/another's released", "renew/another's completed",
		"complete/own completed, same: true", "complete/own completed, same: false",
		"release/own completed", "abandon/own completed",
		"wait/unknown/vacant", "wait/own claimed/abandoned", "wait/another's claimed/claimed", "wait/own completed/completed",
		"wait/own ended/abandoned", "wait/own released/vacant",
		"fetch/unknown", "fetch/another's claimed", "fetch/another's ended", "fetch/another's released", "fetch/another's completed",
		"forget/another's claimed",
	}
	for _, ending := range []string{"complete", "release", "abandon"} {
		for _, record := range []string{
			"unknown, held: true", "unknown, held: false", "own claimed", "own ended", "own released",
			"another's claimed", "another's ended", "another's released", "another's completed",
		} {
			rows = append(rows, ending+"/"+record)
		}
	}
	return rows
}

// TestStoriesComeToEveryRow shows that what is generated tries every row of the
// contract's tables.
func TestStoriesComeToEveryRow(t *testing.T) {
	met := map[string]int{}
	for seed := range uint64(24) {
		synctest.Test(t, func(t *testing.T) {
			h := conformance.Harness{Open: func(tb testing.TB) func() backend.Backend {
				store := memory.New()
				tb.Cleanup(func() { store.Close() })
				return func() backend.Backend { return store }
			}}
			r := newRun(t, h, Options{Seed: seed + 1, Keys: 20}.withDefaults())
			r.checked = func(v *verdict) {
				ordered, _ := v.order(v.history)
				after := []state{{}}
				for _, at := range ordered {
					o := v.history[at]
					var next []state
					for _, s := range after {
						if o.reply != lost {
							// The record as it was known, or forgotten by then.
							m := v.model
							if gone, ok := m.gone(s, o); ok && s.enter(o.from, o.to) {
								met[row(gone, o)]++
							}
							if _, ok := m.kept(s); ok {
								met[row(s, o)]++
							}
						}
						for _, n := range v.model.step(s, o) {
							if !slices.Contains(next, n) {
								next = append(next, n)
							}
						}
					}
					after = next
				}
			}
			r.do(t.Context())
			if len(r.failures) > 0 {
				t.Fatal(r.failures[0].verdict.describe(r.failures[0].key))
			}
		})
	}
	for _, row := range everyRow() {
		if met[row] == 0 {
			t.Errorf("never met: %s", row)
		}
	}
	t.Logf("%d rows met", len(met))
}
