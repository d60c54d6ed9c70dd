//go:build unix

package soak

import (
	"math"
	"slices"
	"time"
)

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
	for _, e := range k.unsettled {
		report(ruleSettles, e.At, e.At, "the sweep got no answer in %v, when all was well again; the last call %q", settlePatience, e.What)
	}
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
