package conformance

import (
	"slices"
	"strings"
	"testing"
)

// Rule is one sentence of the contract and the test that holds a backend to it.
type Rule struct {
	// Name is "Group/Rule", the path of the rule's subtest below the one that
	// calls [Run]. Names are part of the API of this package.
	Name string
	// Prose says in a sentence what must hold.
	Prose string
	// Mend says where to look when it doesn't.
	Mend string

	run      func(*rig)
	ownStore bool // must not share its store with other rules
	alone    bool // must not run beside other rules
}

// Rules lists every rule, group by group, in the order in which [Run] checks
// them.
func Rules() []Rule {
	var all []Rule
	for _, g := range groups() {
		all = append(all, g.rules...)
	}
	return all
}

// Run checks one rule on a store of its own. It uses neither subtests nor
// parallel tests, so that, for a backend without a network, it can be called in a
// bubble of testing/synctest, one rule per bubble:
//
//	for _, rule := range conformance.Rules() {
//		t.Run(rule.Name, func(t *testing.T) {
//			synctest.Test(t, func(t *testing.T) { rule.Run(t, harness) })
//		})
//	}
func (rule Rule) Run(tb testing.TB, h Harness) {
	tb.Helper()
	h.check(tb)
	connect := h.Open(tb)
	rule.runOn(newRig(tb, h, connect, connect(), connect()))
}

func (rule Rule) runOn(r *rig) {
	r.rule = rule
	rule.run(r)
}

type group struct {
	name  string
	rules []Rule
}

// shares tells whether any of the group's rules uses the group's store.
func (g group) shares() bool {
	return slices.ContainsFunc(g.rules, func(rule Rule) bool { return !rule.ownStore })
}

func groups() []group {
	var all []group
	for _, rules := range [][]Rule{
		claimRules, takeOverRules, renewalRules, commitRules, outcomeRules, releaseRules, abandonRules,
		waitRules, wakeRules, fetchRules, forgetRules, lifetimeRules, keyRules, boundsRules, sliceRules,
		errorRules, concurrencyRules, closeRules, faultRules,
	} {
		for _, rule := range rules {
			name, _, _ := strings.Cut(rule.Name, "/")
			if len(all) == 0 || all[len(all)-1].name != name {
				all = append(all, group{name: name})
			}
			g := &all[len(all)-1]
			g.rules = append(g.rules, rule)
		}
	}
	return all
}
