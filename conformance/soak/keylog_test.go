//go:build unix

package soak

import (
	"cmp"
	"slices"
)

// keyLog is what is known of a key between two times that it was forgotten.
type keyLog struct {
	key        string
	claims     map[string]*claim // by token
	runs       []event
	reconciles []event
	resolves   []event
	answers    []event // of each run of equal ones the first and the last
	timeouts   []event
	late       []event
	entries    []event // of the ledger, in its order
	unsettled  []event
}

// claim is what is known of a token.
type claim struct {
	token     string
	worker    int
	seen      uint64
	sendAt    int64 // when it was sent last
	granted   bool
	fence     uint64
	attempt   uint32
	firstSent int64 // of the request that the store granted first, as far as is known
	firstAt   int64 // its reply
	leases    []span
	released  int64 // when the first release was about to be sent; zero: never
	abandoned int64
	completed int64 // when the store confirmed an outcome; zero: never
	sentOut   int64 // when the outcome was about to be sent
	moved     bool  // it was granted with another attempt or fence before
}

// add reports whether the event can break a rule.
func (k *keyLog) add(e event) bool {
	switch e.Kind {
	case evSend, evGranted, evEnding, evEnded:
		cl := k.claims[e.Token]
		if cl == nil {
			cl = &claim{token: e.Token, worker: e.Worker}
			k.claims[e.Token] = cl
		}
		cl.add(e)
	case evRun:
		k.runs = append(k.runs, e)
	case evReconcile:
		k.reconciles = append(k.reconciles, e)
	case evResolve:
		k.resolves = append(k.resolves, e)
		return false
	case evEffect, evBarrier:
		k.entries = append(k.entries, e)
	case evUnsettled:
		k.unsettled = append(k.unsettled, e)
	case evAnswer:
		return k.addAnswer(e)
	default:
		return false
	}
	return true
}

func (cl *claim) add(e event) {
	switch e.Kind {
	case evSend:
		cl.seen, cl.sendAt = e.Seen, e.At
	case evGranted:
		if !cl.granted {
			cl.granted, cl.fence, cl.attempt, cl.firstSent, cl.firstAt = true, e.Fence, e.Attempt, e.Sent, e.At
		}
		cl.firstSent, cl.firstAt = min(cl.firstSent, e.Sent), min(cl.firstAt, e.At)
		cl.moved = cl.moved || cl.fence != e.Fence || cl.attempt != e.Attempt
		cl.leases = append(cl.leases, span{e.Sent, e.Until})
	case evEnding:
		switch {
		case e.What == "release" && cl.released == 0:
			cl.released = e.At
		case e.What == "abandon" && cl.abandoned == 0:
			cl.abandoned = e.At
		case e.What == "complete" && cl.sentOut == 0:
			cl.sentOut = e.At
		}
	case evEnded:
		if e.What == "complete" && e.Err == "" && cl.completed == 0 {
			cl.completed = e.At
		}
	}
}

func (k *keyLog) addAnswer(e event) bool {
	// A call is only late by its own deadline, and is checked for that alone.
	if e.At > e.Until {
		k.late = append(k.late, e)
	}
	switch e.What {
	case gotTimeout:
		k.timeouts = append(k.timeouts, e)
		return true
	case gotValue, gotError:
	default:
		return e.At > e.Until
	}
	if n := len(k.answers); n >= 2 && sameAnswer(k.answers[n-1], e) && sameAnswer(k.answers[n-2], e) {
		k.answers[n-1] = e
		return e.At > e.Until
	}
	k.answers = append(k.answers, e)
	return true
}

func sameAnswer(a, b event) bool {
	return a.What == b.What && a.Value == b.Value && a.Fence == b.Fence && a.Attempt == b.Attempt
}

// granted are the claims that the store is known to have granted, in the order of
// their fences.
func (k *keyLog) granted() []*claim {
	var list []*claim
	for _, cl := range k.claims {
		if cl.granted {
			list = append(list, cl)
		}
	}
	slices.SortFunc(list, func(a, b *claim) int { return cmp.Or(cmp.Compare(a.fence, b.fence), cmp.Compare(a.token, b.token)) })
	return list
}
