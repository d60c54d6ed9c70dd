//go:build unix

package soak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The rules, by the names with which they are reported.
const (
	ruleOneOutcome  = "one outcome"           // I1
	ruleSameAnswer  = "every answer the same" // I2
	ruleAnswerMade  = "an answer that was made"
	ruleFinal       = "nothing runs after the outcome"
	ruleFences      = "fences grow"         // I5
	ruleLedger      = "no overtaken answer" // I5
	ruleLiveLease   = "no live lease is taken"
	ruleRunOnce     = "one run per attempt"
	ruleReconcile   = "Reconcile is asked first"
	ruleFail        = "Fail doesn't run again"
	ruleEffectOnce  = "one effect"
	ruleLate        = "nobody is late" // I4
	ruleLeftWaiting = "waiters wake"   // I4
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
			report(ruleAnswerMade, answer.Sent, answer.At, "worker %d got %q with fence %d, but it was made under fence %d", answer.Worker, answer.Value, answer.Fence, by)
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

// checkPolicy: what follows an attempt of which nobody knows what it did.
func (c *checker) checkPolicy(k *keyLog, report reporter) {
	policy := policyOf(k.key)
	if policy != policyFail && policy != policyReconcile {
		return
	}
	byFence := map[uint64]*claim{}
	for _, cl := range k.claims {
		if cl.granted {
			byFence[cl.fence] = cl
		}
	}
	for _, run := range k.runs {
		cl := byFence[run.Fence]
		if cl == nil || k.decided(cl.seen, cl.firstAt, byFence, 0) {
			continue
		}
		from := k.began()
		if policy == policyFail {
			report(ruleFail, from, run.At, "attempt %d ran by worker %d after an attempt (fence %d) of which nobody knows what it did", run.Attempt, run.Worker, cl.seen)
			continue
		}
		asked := slices.ContainsFunc(k.reconciles, func(e event) bool { return e.Fence == run.Fence && e.What == "run again" })
		if !asked {
			report(ruleReconcile, from, run.At, "attempt %d ran by worker %d without asking what the attempt before (fence %d) did", run.Attempt, run.Worker, cl.seen)
		}
	}
	if accepted := acceptedEffects(k.entries); len(accepted) > 1 {
		a, b := accepted[0], accepted[1]
		report(ruleEffectOnce, min(k.began(), a.At), b.At, "attempts %d (worker %d) and %d (worker %d) both had their effect", a.Attempt, a.Worker, b.Attempt, b.Worker)
	}
}

// decided tells whether the attempt with that fence left the key in a state that
// needs no decision: unknown, or released by somebody who knew what he did. Whoever
// took over and released without a run did not know more than the one before.
func (k *keyLog) decided(fence uint64, before int64, byFence map[uint64]*claim, depth int) bool {
	if fence == 0 || depth > len(k.claims) {
		return true
	}
	if cl := byFence[fence]; cl != nil {
		if cl.released == 0 || cl.released > before {
			return false
		}
		ran := slices.ContainsFunc(k.runs, func(run event) bool { return run.Fence == fence })
		return ran || k.decided(cl.seen, cl.released, byFence, depth+1)
	}
	// Its reply was never seen: it is one of those that released without one.
	for _, cl := range k.claims {
		if !cl.granted && cl.released != 0 && cl.released < before && k.decided(cl.seen, cl.released, byFence, depth+1) {
			return true
		}
	}
	return false
}

// checkCalls: calls return by their deadline, waiters wake, and in the end every
// key has its answer.
func (c *checker) checkCalls(k *keyLog, claims []*claim, report reporter) {
	for _, e := range k.late {
		over := time.Duration(e.At-e.Until) - c.stoppedFor(e.Worker, e.Sent, e.At)
		c.counts.overshoot(over)
		if over > c.times.Slack {
			report(ruleLate, 0, -1, "a call of worker %d returned %v after its deadline", e.Worker, over)
		}
	}
	k.late = k.late[:0]
	answered := k.answeredAt(claims)
	for _, e := range k.timeouts {
		if since := max(answered, e.Sent); c.heard(e.Worker, since, e.At) > c.times.Wake {
			report(ruleLeftWaiting, since, e.At, "a call of worker %d waited for %v in vain although the answer had been there for %v",
				e.Worker, time.Duration(e.At-e.Sent), time.Duration(e.At-since))
		}
		if since := max(k.heldUntil(e.At, c.times.Lease), e.Sent); c.heard(e.Worker, since, e.At) > c.times.Wake {
			report(ruleLeftWaiting, since, e.At, "a call of worker %d waited for %v in vain although nobody had held the key for %v",
				e.Worker, time.Duration(e.At-e.Sent), time.Duration(e.At-since))
		}
	}
	for _, e := range k.unanswered {
		if policy := policyOf(k.key); policy != policyFail && !strings.HasSuffix(e.How, "executed") && e.What != gotAbandoned {
			report(ruleSettles, e.Sent, e.At, "a call of the sweep, when all was well again, got %q %s", e.What, e.Err)
		}
	}
	k.unanswered = k.unanswered[:0]
}

// answeredAt is when an outcome is first known to have been recorded.
func (k *keyLog) answeredAt(claims []*claim) int64 {
	first := int64(math.MaxInt64)
	for _, cl := range claims {
		if cl.completed != 0 {
			first = min(first, cl.completed)
		}
	}
	for _, e := range k.answers {
		first = min(first, e.At)
	}
	return first
}

// heldUntil is until when somebody may have held the key before a time: claims and
// renewals arrive up to two leases late, and their replies may be lost.
func (k *keyLog) heldUntil(before int64, lease time.Duration) int64 {
	var until int64
	for _, cl := range k.claims {
		if cl.sendAt != 0 && cl.sendAt < before {
			until = max(until, cl.sendAt+4*int64(lease))
		}
		for _, l := range cl.leases {
			if l.from < before {
				until = max(until, l.to+3*int64(lease))
			}
		}
	}
	return until
}
