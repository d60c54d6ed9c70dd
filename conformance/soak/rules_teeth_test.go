//go:build unix

package soak

import (
	"slices"
	"testing"
	"time"
)

// tale is a hand-made log; its times are in milliseconds.
type tale []event

func ms(n int64) int64 { return n * int64(time.Millisecond) }

const (
	tokenA = "aaaaaaaa"
	tokenB = "bbbbbbbb"
	tokenC = "cccccccc"
)

// grant is a claim that was sent at a time and granted a millisecond later, for
// half a second.
func grant(at int64, worker int, key, token string, seen, fence uint64, attempt uint32) []event {
	return []event{
		{At: ms(at), Kind: evSend, Worker: worker, Key: key, Token: token, Seen: seen},
		{At: ms(at + 1), Kind: evGranted, Worker: worker, Key: key, Token: token, Seen: seen, Fence: fence, Attempt: attempt, Sent: ms(at), Until: ms(at + 500)},
	}
}

func ending(at int64, worker int, key, token, what string) event {
	return event{At: ms(at), Kind: evEnding, Worker: worker, Key: key, Token: token, What: what}
}

func completed(at int64, worker int, key, token string) []event {
	return []event{
		ending(at, worker, key, token, "complete"),
		{At: ms(at + 1), Kind: evEnded, Worker: worker, Key: key, Token: token, What: "complete", Sent: ms(at)},
	}
}

func ran(at int64, worker int, key string, fence uint64, attempt uint32) event {
	return event{At: ms(at), Kind: evRun, Worker: worker, Key: key, Fence: fence, Attempt: attempt}
}

func effect(at int64, worker int, key string, fence uint64, value string) event {
	return event{At: ms(at), Kind: evEffect, Worker: worker, Key: key, Fence: fence, Value: value}
}

func answer(at int64, worker int, key, value string, fence uint64) event {
	return event{At: ms(at), Kind: evAnswer, Worker: worker, Key: key, What: gotValue, Value: value, Fence: fence, Attempt: 1, Sent: ms(at - 5), Until: ms(at + 5000)}
}

func timeout(began, at int64, worker int, key string) event {
	return event{At: ms(at), Kind: evAnswer, Worker: worker, Key: key, What: gotTimeout, Sent: ms(began), Until: ms(at)}
}

// alive is a store that answers the parent all the time.
func alive() tale {
	var t tale
	for at := int64(0); at < 10_000; at += 100 {
		t = append(t, event{At: ms(at), Kind: evAlive})
	}
	return t
}

func told(parts ...any) tale {
	var t tale
	for _, part := range parts {
		switch part := part.(type) {
		case event:
			t = append(t, part)
		case []event:
			t = append(t, part...)
		case tale:
			t = append(t, part...)
		}
	}
	return t
}

// simple is a key that ran once and was replayed.
func simple(key string) tale {
	return told(grant(10, 1, key, tokenA, 0, 100, 1), ran(12, 1, key, 100, 1), effect(20, 1, key, 100, "v"),
		completed(21, 1, key, tokenA), answer(23, 1, key, "v", 100), answer(50, 2, key, "v", 100))
}

// crashed is an attempt that died before its effect.
func crashed(key string) tale {
	return told(grant(10, 1, key, tokenA, 0, 100, 1), ran(12, 1, key, 100, 1),
		event{At: ms(15), Kind: evCrash, Worker: 1, Key: key, What: "before effect"})
}

// followed is what another one does after it.
func followed(key string) tale {
	return told(grant(600, 2, key, tokenB, 100, 200, 2), ran(605, 2, key, 200, 2), effect(610, 2, key, 200, "w"),
		completed(611, 2, key, tokenB), answer(613, 2, key, "w", 200))
}

func asked(at int64, worker int, key string, fence uint64, what, value string) event {
	return event{At: ms(at), Kind: evReconcile, Worker: worker, Key: key, Fence: fence, What: what, Value: value}
}

func check(t *testing.T, story tale) []string {
	t.Helper()
	c := newChecker(usualTimes)
	for _, e := range story {
		c.add(e)
	}
	var rules []string
	for _, v := range c.check() {
		rules = append(rules, v.rule)
	}
	return rules
}

// Every rule is broken by a log that breaks it.
func TestCheckerCatches(t *testing.T) {
	for name, test := range map[string]struct {
		rule  string
		story tale
	}{
		"two outcomes confirmed":                     {ruleOneOutcome, told(simple("r/k"), grant(600, 2, "r/k", tokenB, 100, 200, 2), completed(620, 2, "r/k", tokenB))},
		"an outcome confirmed, another one answered": {ruleOneOutcome, told(simple("r/k"), effect(60, 2, "r/k", 200, "w"), answer(70, 2, "r/k", "w", 200))},
		"two values":                 {ruleSameAnswer, told(simple("r/k"), effect(60, 2, "r/k", 100, "w"), answer(70, 2, "r/k", "w", 100))},
		"two attempts":               {ruleSameAnswer, told(simple("r/k"), answer(70, 2, "r/k", "v", 300))},
		"a value of nobody":          {ruleAnswerMade, told(grant(10, 1, "r/k", tokenA, 0, 100, 1), ran(12, 1, "r/k", 100, 1), answer(30, 1, "r/k", "v", 100))},
		"another run's value":        {ruleAnswerMade, told(grant(10, 1, "r/k", tokenA, 0, 100, 1), effect(12, 1, "r/k", 90, "v"), answer(30, 1, "r/k", "v", 100))},
		"granted after the outcome":  {ruleFinal, told(simple("r/k"), grant(600, 2, "r/k", tokenB, 100, 200, 2))},
		"run after an answer":        {ruleFinal, told(effect(9, 1, "r/k", 100, "v"), answer(10, 1, "r/k", "v", 100), ran(600, 2, "r/k", 200, 2))},
		"the fence doesn't grow":     {ruleFences, told(crashed("r/k"), grant(600, 2, "r/k", tokenB, 100, 100, 2))},
		"the attempt doesn't grow":   {ruleFences, told(crashed("r/k"), grant(600, 2, "r/k", tokenB, 100, 200, 1))},
		"the fence falls":            {ruleFences, told(crashed("r/k"), grant(600, 2, "r/k", tokenB, 100, 50, 2))},
		"the fence of a token moves": {ruleFences, told(crashed("r/k"), grant(100, 1, "r/k", tokenA, 0, 101, 1))},
		"an answer that was refused": {ruleLedger, told(grant(10, 1, "r/k", tokenA, 0, 100, 1), effect(20, 2, "r/k", 200, "w"), effect(21, 1, "r/k", 100, "v"), answer(30, 1, "r/k", "v", 100))},
		"a live lease":               {ruleLiveLease, told(crashed("r/k"), grant(400, 2, "r/k", tokenB, 100, 200, 2))},
		"a renewed lease": {ruleLiveLease, told(crashed("r/k"),
			event{At: ms(301), Kind: evGranted, Worker: 1, Key: "r/k", Token: tokenA, Fence: 100, Attempt: 1, Sent: ms(300), Until: ms(800), Renewal: true},
			grant(600, 2, "r/k", tokenB, 100, 200, 2))},
		"a renewal that takes back": {ruleLiveLease, told(crashed("r/k"), grant(600, 2, "r/k", tokenB, 100, 200, 2),
			event{At: ms(701), Kind: evGranted, Worker: 1, Key: "r/k", Token: tokenA, Fence: 100, Attempt: 1, Sent: ms(700), Until: ms(1200), Renewal: true})},
		"one attempt runs twice":  {ruleRunOnce, told(crashed("r/k"), ran(14, 2, "r/k", 100, 1))},
		"Reconcile wasn't asked":  {ruleReconcile, told(crashed("c/k"), followed("c/k"))},
		"Reconcile didn't say so": {ruleReconcile, told(crashed("c/k"), asked(602, 2, "c/k", 200, "unknown", ""), followed("c/k"))},
		"Reconcile of another":    {ruleReconcile, told(crashed("c/k"), asked(602, 3, "c/k", 150, "run again", ""), followed("c/k"))},
		"a release that launders": {ruleReconcile, told(crashed("c/k"), grant(600, 2, "c/k", tokenB, 100, 200, 2), ending(601, 2, "c/k", tokenB, "release"),
			grant(700, 3, "c/k", tokenC, 200, 300, 3), ran(702, 3, "c/k", 300, 3))},
		"Fail runs again":           {ruleFail, told(crashed("f/k"), followed("f/k"))},
		"two effects":               {ruleEffectOnce, told(simple("c/k"), effect(70, 2, "c/k", 200, "w"))},
		"a late call":               {ruleLate, told(event{At: ms(60_000), Kind: evAnswer, Worker: 1, Key: "r/k", What: gotFailed, Sent: ms(1), Until: ms(5000)})},
		"a waiter of an answer":     {ruleLeftWaiting, told(alive(), simple("r/k"), timeout(15, 8015, 3, "r/k"))},
		"a waiter of a dead holder": {ruleLeftWaiting, told(alive(), crashed("r/k"), timeout(15, 8015, 3, "r/k"))},
		"no answer in the end":      {ruleSettles, told(event{At: ms(60), Kind: evUnsettled, Worker: 1, Key: "r/k", What: gotFailed})},
		"a goroutine":               {"nothing leaks", told(event{At: ms(60), Kind: evLeak, Worker: 1, Err: "goroutine"})},
		"a torn answer":             {"broken", told(event{At: ms(60), Kind: evBroken, Worker: 1, Key: "r/k", Err: "torn"})},
	} {
		t.Run(name, func(t *testing.T) {
			if rules := check(t, test.story); !slices.Contains(rules, test.rule) {
				t.Errorf("broke %q, want %q", rules, test.rule)
			}
		})
	}
}

// What may happen breaks no rule.
func TestCheckerAccepts(t *testing.T) {
	for name, story := range map[string]tale{
		"a run and a replay":            simple("c/k"),
		"a crash and a rerun":           told(crashed("r/k"), followed("r/k")),
		"a crash and a decision to run": told(crashed("c/k"), asked(602, 2, "c/k", 200, "run again", ""), followed("c/k")),
		"a crash and an answer found": told(crashed("c/k"), effect(14, 1, "c/k", 100, "v"), grant(600, 2, "c/k", tokenB, 100, 200, 2),
			asked(602, 2, "c/k", 200, "answer", "v"), completed(603, 2, "c/k", tokenB), answer(605, 2, "c/k", "v", 200)),
		"a release and a run": told(grant(10, 1, "f/k", tokenA, 0, 100, 1), ran(12, 1, "f/k", 100, 1), ending(15, 1, "f/k", tokenA, "release"),
			grant(20, 2, "f/k", tokenB, 100, 200, 2), ran(22, 2, "f/k", 200, 2)),
		"a claim that nobody heard of, released": told(event{At: ms(5), Kind: evSend, Worker: 1, Key: "f/k", Token: tokenA}, ending(15, 1, "f/k", tokenA, "release"),
			grant(20, 2, "f/k", tokenB, 100, 200, 2), ran(22, 2, "f/k", 200, 2)),
		"an action cut short": told(grant(10, 1, "r/k", tokenA, 0, 100, 1), ran(12, 1, "r/k", 100, 1), ending(15, 1, "r/k", tokenA, "abandon"),
			grant(20, 2, "r/k", tokenB, 100, 200, 2), ran(22, 2, "r/k", 200, 2)),
		"an effect that came too late": told(crashed("c/k"), asked(602, 2, "c/k", 200, "run again", ""),
			event{At: ms(601), Kind: evBarrier, Worker: 2, Key: "c/k", Fence: 200}, effect(605, 1, "c/k", 100, "v"), followed("c/k")),
		"a resolved key": told(crashed("f/k"), event{At: ms(600), Kind: evResolve, Worker: 2, Key: "f/k", Value: "by hand"}, answer(700, 2, "f/k", "by hand", 300)),
		"a forgotten key": told(simple("r/k"), event{At: ms(90), Kind: evForget, Key: "r/k"}, grant(600, 2, "r/k", tokenB, 0, 200, 1),
			ran(602, 2, "r/k", 200, 1), effect(603, 2, "r/k", 200, "w"), answer(650, 2, "r/k", "w", 200)),
		"a stopped call": told(event{At: ms(2), Kind: evStop, Worker: 1}, event{At: ms(59_000), Kind: evContinue, Worker: 1},
			event{At: ms(60_000), Kind: evAnswer, Worker: 1, Key: "r/k", What: gotFailed, Sent: ms(1), Until: ms(5000)}),
		"a waiter of a machine that is held up": told(simple("r/k"), timeout(15, 8015, 3, "r/k")),
		"a waiter of a silent store":            told(alive(), simple("r/k"), event{At: ms(14), Kind: evSilent, Until: ms(7000)}, timeout(15, 8015, 3, "r/k")),
		"a waiter of a live holder":             told(alive(), grant(7000, 1, "r/k", tokenA, 0, 100, 1), timeout(15, 8015, 3, "r/k")),
	} {
		t.Run(name, func(t *testing.T) {
			if rules := check(t, story); len(rules) > 0 {
				t.Errorf("broke %q", rules)
			}
		})
	}
}

// What a store may have forgotten is counted, and is no violation; what
// happened when nothing could be forgotten is.
func TestCheckerCountsLosses(t *testing.T) {
	lost := told(simple("r/k"), event{At: ms(100), Kind: evLosing}, event{At: ms(500), Kind: evKept},
		grant(600, 2, "r/k", tokenB, 0, 200, 1), ran(602, 2, "r/k", 200, 1), effect(603, 2, "r/k", 200, "w"),
		completed(604, 2, "r/k", tokenB), answer(650, 2, "r/k", "w", 200))
	c := newChecker(usualTimes)
	for _, e := range lost {
		c.add(e)
	}
	if found := c.check(); len(found) > 0 {
		t.Errorf("%v", found)
	}
	if n := c.counts.lost(); n != 1 {
		t.Errorf("%d keys were lost, want 1", n)
	}
	// A second run on the history that survived is none.
	for _, e := range told(grant(1200, 3, "r/k", tokenC, 200, 300, 2)) {
		c.add(e)
	}
	if found := c.check(); len(found) != 1 || found[0].rule != ruleFinal {
		t.Errorf("%v, want that %q is broken", found, ruleFinal)
	}
}
