//go:build unix

package soak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// The rules, by the names with which they are reported.
const (
	ruleOneOutcome  = "one outcome"
	ruleSameAnswer  = "every answer the same"
	ruleAnswerMade  = "an answer that was made"
	ruleFinal       = "nothing runs after the outcome"
	ruleFences      = "fences grow"
	ruleLedger      = "no overtaken answer"
	ruleLiveLease   = "no live lease is taken"
	ruleRunOnce     = "one run per attempt"
	ruleReconcile   = "Reconcile is asked first"
	ruleFail        = "Fail doesn't run again"
	ruleEffectOnce  = "one effect"
	ruleLate        = "nobody is late"
	ruleLeftWaiting = "waiters wake"
	ruleSettles     = "every key settles"
)

// checkKey holds the events of a key against the rules.
func (c *checker) checkKey(k *keyLog) []violation {
	var found []violation
	claims := k.granted()
	// report notes a violation, unless the store may have forgotten something
	// between the two times: then it is a loss.
	report := func(rule string, from, to int64, format string, args ...any) {
		if c.excused(from, to) {
			c.counts.lose(rule, k.key)
			return
		}
		found = append(found, violation{rule: rule, key: k.key, text: fmt.Sprintf(format, args...)})
	}
	c.checkFences(k, claims, report)
	c.checkLeases(claims, report)
	c.checkOutcomes(k, claims, report)
	c.checkAnswers(k, report)
	c.checkPolicy(k, report)
	c.checkCalls(k, claims, report)
	return found
}

type reporter func(rule string, from, to int64, format string, args ...any)

// checkFences: fences and attempts grow together, and in the order of time.
func (c *checker) checkFences(k *keyLog, claims []*claim, report reporter) {
	for i, b := range claims {
		if b.moved {
			report(ruleFences, b.firstSent, b.leases[len(b.leases)-1].from, "token %.6s was granted with more than one attempt or fence", b.token)
		}
		if i > 0 {
			if a := claims[i-1]; a.fence == b.fence || a.attempt >= b.attempt {
				report(ruleFences, min(a.firstSent, b.firstSent), max(a.firstAt, b.firstAt), "attempt %d has fence %d, attempt %d has fence %d", a.attempt, a.fence, b.attempt, b.fence)
			}
		}
		for _, a := range claims[i+1:] {
			if a.firstAt < b.firstSent {
				report(ruleFences, a.firstSent, b.firstAt, "attempt %d was granted %v before attempt %d was asked for, and has fence %d, not less than %d",
					a.attempt, time.Duration(b.firstSent-a.firstAt), b.attempt, a.fence, b.fence)
			}
		}
	}
	runs := map[uint64]event{}
	for _, run := range k.runs {
		if other, twice := runs[run.Fence]; twice {
			report(ruleRunOnce, other.At, run.At, "workers %d and %d ran under fence %d", other.Worker, run.Worker, run.Fence)
		}
		runs[run.Fence] = run
	}
}

// checkLeases: nobody is granted a key while another's lease is known to run. So
// an attempt is followed by another only where its process crashed, was stopped
// or didn't get its renewals through, or where it ended itself.
func (c *checker) checkLeases(claims []*claim, report reporter) {
	for i, a := range claims {
		for _, b := range claims[i+1:] {
			if a.released != 0 && a.released < b.firstAt || a.abandoned != 0 && a.abandoned < b.firstAt {
				continue
			}
			for _, lease := range a.leases {
				if left := lease.to - epsilon - b.firstAt; left > 0 {
					report(ruleLiveLease, a.firstSent, b.firstAt, "attempt %d (worker %d) was granted it while attempt %d (worker %d) had a lease for another %v at least",
						b.attempt, b.worker, a.attempt, a.worker, time.Duration(left))
					break
				}
			}
		}
	}
}

// checkOutcomes: one attempt completes, and no later one is granted.
func (c *checker) checkOutcomes(k *keyLog, claims []*claim, report reporter) {
	for i, a := range claims {
		if a.completed == 0 {
			continue
		}
		for _, b := range claims[i+1:] {
			if b.completed != 0 {
				report(ruleOneOutcome, a.sentOut, b.completed, "the outcomes of attempts %d and %d were both confirmed", a.attempt, b.attempt)
			} else {
				report(ruleFinal, a.sentOut, b.firstAt, "attempt %d was granted although the outcome of attempt %d was recorded", b.attempt, a.attempt)
			}
		}
	}
	// An answer is an outcome too: its commit may not have been confirmed.
	for _, answer := range k.answers {
		for _, run := range k.runs {
			if run.Fence > answer.Fence {
				report(ruleFinal, answer.Sent, run.At, "attempt %d ran, but the outcome is that of fence %d, attempt %d", run.Attempt, answer.Fence, answer.Attempt)
			}
		}
		for _, a := range claims {
			if a.completed != 0 && a.fence != answer.Fence {
				report(ruleOneOutcome, min(a.sentOut, answer.Sent), max(answer.At, a.completed), "the outcome of attempt %d was confirmed, an answer is that of attempt %d (fence %d)", a.attempt, answer.Attempt, answer.Fence)
			}
		}
	}
}

// checkAnswers: every answer is the outcome, and somebody's whose effect the
// ledger has.
func (c *checker) checkAnswers(k *keyLog, report reporter) {
	made, refused := k.made()
	byReturn := slices.SortedFunc(slices.Values(k.answers), func(a, b event) int { return cmp.Compare(a.At, b.At) })
	for i, answer := range byReturn {
		if i > 0 {
			if before := byReturn[i-1]; before.What != answer.What || before.Value != answer.Value || before.Fence != answer.Fence || before.Attempt != answer.Attempt {
				from, to := min(before.Sent, answer.Sent), answer.At
				report(ruleSameAnswer, from, to, "worker %d got %q (attempt %d, fence %d), worker %d got %q (attempt %d, fence %d)",
					before.Worker, before.Value, before.Attempt, before.Fence, answer.Worker, answer.Value, answer.Attempt, answer.Fence)
			}
		}
		by, ok := made[answer.Value]
		switch {
		case ok && by != 0 && by != answer.Fence:
			// A claim that is granted on two histories has two fences.
			report(ruleAnswerMade, k.began(), answer.At, "worker %d got %q with fence %d, but it was made under fence %d", answer.Worker, answer.Value, answer.Fence, by)
		case !ok && refused[answer.Value]:
			report(ruleLedger, k.began(), answer.At, "worker %d got %q, whose effect the ledger refused: it came after that of a newer attempt", answer.Worker, answer.Value)
		case !ok:
			report(ruleAnswerMade, k.began(), answer.At, "worker %d got %q, which nobody made", answer.Worker, answer.Value)
		}
	}
}

// made are the outcomes that somebody made and the fence of each, zero where it
// may have any; refused are those whose effect came too late.
func (k *keyLog) made() (made map[string]uint64, refused map[string]bool) {
	made, refused = map[string]uint64{}, map[string]bool{}
	for _, e := range k.entries {
		refused[e.Value] = true
	}
	for _, e := range acceptedEffects(k.entries) {
		made[e.Value] = e.Fence
	}
	for _, e := range k.reconciles {
		if e.What == "answer" {
			made[e.Value] = 0 // that of the run, or of whoever took over after it
		}
	}
	for _, e := range k.resolves {
		made[e.Value] = 0
	}
	return made, refused
}

// began is when the first claim of the key was sent.
func (k *keyLog) began() int64 {
	first := int64(math.MaxInt64)
	for _, cl := range k.claims {
		if cl.granted {
			first = min(first, cl.firstSent)
		}
	}
	return first
}
