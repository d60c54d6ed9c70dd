//go:build unix

package soak

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A soak of workers whose backend has a bug fails, by a rule that the bug breaks.
// Two of the bugs are tried in every run, all of them with REPRISE_SOAK_MUTANTS=all.
func TestSoakCatches(t *testing.T) {
	expected := map[string][]string{
		"takes a live lease":           {ruleLiveLease},
		"commits what was taken over":  {ruleOneOutcome, ruleSameAnswer, ruleFinal, ruleLedger},
		"never wakes":                  {ruleLeftWaiting},
		"forgets claims":               {ruleOneOutcome, ruleSameAnswer, ruleFences, ruleLiveLease, ruleFinal},
		"confirms renewals unsent":     {ruleLiveLease},
		"confirms commits unsent":      {ruleFinal, ruleOneOutcome, ruleSameAnswer},
		"shows abandoned as vacant":    {ruleReconcile, ruleFail, ruleEffectOnce},
		"replays another key's answer": {ruleAnswerMade, ruleSameAnswer},
	}
	always := map[string]bool{"takes a live lease": true, "shows abandoned as vacant": true}
	seed := soakSeed(t)
	for _, name := range slices.Sorted(maps.Keys(mutants)) {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			if !always[name] && os.Getenv(mutantsEnv) != "all" {
				t.Skipf("only with %s=all", mutantsEnv)
			}
			t.Parallel()
			quick := usualTimes
			quick.Wait, quick.Call, quick.Wake = 1500*time.Millisecond, 2*time.Second, time.Second
			sc := startSingle(t, "everysec")
			sc.kills = false
			s := newSoak(t, sc, options{seed: seed, faults: 0.005, network: 0, times: quick, mutant: name})
			began := time.Now()
			s.load(30*time.Second, newRandom(seed))
			if len(s.found) == 0 {
				t.Fatalf("nothing was found in %v\n%s", time.Since(began), s.checker.counts.summary())
			}
			if story := s.story(0, s.found[0]); s.found[0].key != "" && (!strings.Contains(story, s.found[0].key) && !strings.Contains(story, "fence")) {
				t.Errorf("the story of the violation tells nothing:\n%s", story)
			}
			t.Logf("found after %v: %v", time.Since(began).Round(time.Millisecond), s.found[0])
			for _, v := range s.found {
				if slices.Contains(expected[name], v.rule) {
					return
				}
			}
			t.Errorf("none of the rules %q was broken: %v", expected[name], s.found)
		})
	}
}
