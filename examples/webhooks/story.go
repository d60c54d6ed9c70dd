package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/idempotency/consumer"
)

// story is what is sent, and what is to come of it.
type story struct {
	deliveries []delivery
	events     map[string]bool   // each is to be booked once
	charges    map[string]string // charge: its state in the end
	commits    map[string]bool   // each is to be built once
	aside      map[consumer.Reason]int
}

const (
	charges = 24
	pushes  = 8
)

// newStory makes the deliveries, in an order that no receiver would choose.
func newStory(books *books) (*story, error) {
	s := &story{
		events: map[string]bool{}, charges: map[string]string{}, commits: map[string]bool{}, aside: map[consumer.Reason]int{},
	}
	const began = 1234567890
	for i := range charges {
		charge := fmt.Sprintf("ch_%04d", i)
		if err := s.stripe("charge.succeeded", "charge", charge, charge, began+int64(i), nil); err != nil {
			return nil, err
		}
		s.charges[charge] = "paid"
		switch {
		case i%3 == 0:
			refunded := map[string]any{"refunded": true, "amount_refunded": 100}
			if err := s.stripe("charge.refunded", "charge", charge, charge, began+1000, refunded); err != nil {
				return nil, err
			}
			s.charges[charge] = "refunded"
		case i%5 == 0:
			if err := s.stripe("charge.dispute.created", "dispute", "dp_"+charge, charge, began+2000, map[string]any{"charge": charge}); err != nil {
				return nil, err
			}
			s.charges[charge] = "disputed"
		}
	}
	for id := range s.events {
		if rand.N(4) == 0 {
			books.beBusyOnce(id)
		}
	}
	for i := range pushes {
		commit := fmt.Sprintf("%040x", 0xc0ffee+i)
		d := githubPush(fmt.Sprintf("72d3162e-cc78-11e3-81ab-%012d", i), commit, githubSecret)
		d.copies = 1 + i%2
		s.deliveries = append(s.deliveries, d)
		if i%4 == 0 {
			s.deliveries = append(s.deliveries, d) // somebody presses Redeliver
		}
		s.commits[commit] = true
	}
	s.others()
	rand.Shuffle(len(s.deliveries), func(i, j int) {
		s.deliveries[i], s.deliveries[j] = s.deliveries[j], s.deliveries[i]
	})
	return s, nil
}

func (s *story) stripe(kind, object, objectID, charge string, created int64, change map[string]any) error {
	id := "evt_" + kind + "_" + charge
	body, err := stripeBody(id, kind, object, objectID, created, change)
	if err != nil {
		return err
	}
	d := stripeDelivery(body, stripeSecret, time.Now)
	d.copies = 1 + len(s.events)%3
	s.deliveries = append(s.deliveries, d)
	s.events[id] = true
	return nil
}

// others are deliveries that change nothing: forged, stale, unreadable.
func (s *story) others() {
	forged, _ := stripeBody("evt_forged", "charge.succeeded", "charge", "ch_forged", 1, nil)
	longAgo := func() time.Time { return time.Now().Add(-time.Hour) }
	for _, d := range []delivery{
		stripeDelivery(forged, "whsec_guessed", time.Now),
		stripeDelivery(forged, stripeSecret, longAgo), // taken from somebody's log
		githubPush("72d3162e-cc78-11e3-81ab-999999999999", "f00", "guessed"),
		{path: "/webhooks/stripe", body: forged, copies: 1, header: func() http.Header { return http.Header{} }},
	} {
		d.insist = false
		s.deliveries = append(s.deliveries, d)
	}
	s.deliveries = append(s.deliveries,
		stripeDelivery([]byte(`{"no": "event"}`), stripeSecret, time.Now),
		githubPush("72d3162e-cc78-11e3-81ab-888888888888", "", githubSecret))
	s.aside[consumer.Invalid]++
	s.aside[consumer.Failed]++
}

// check says what is wrong with the books.
func (s *story) check(b *books) (wrong []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for id := range s.events {
		if n := b.entries[id]; n != 1 {
			say("%s was booked %d times", id, n)
		}
	}
	if len(b.entries) != len(s.events) {
		say("%d events were booked, want %d", len(b.entries), len(s.events))
	}
	for charge, state := range s.charges {
		if got := b.charges[charge].state; got != state {
			say("%s is %q, want %s", charge, got, state)
		}
	}
	for commit := range s.commits {
		if n := b.builds[commit]; n != 1 {
			say("%s was built %d times", commit, n)
		}
	}
	if len(b.builds) != len(s.commits) {
		say("%d commits were built, want %d", len(b.builds), len(s.commits))
	}
	aside := map[consumer.Reason]int{}
	for _, reason := range b.aside {
		aside[reason]++
	}
	for _, reason := range []consumer.Reason{consumer.Invalid, consumer.Failed} {
		if aside[reason] != s.aside[reason] {
			say("%d put aside as %s, want %d", aside[reason], reason, s.aside[reason])
		}
	}
	if len(b.aside) != s.aside[consumer.Invalid]+s.aside[consumer.Failed] {
		say("put aside: %v", b.aside)
	}
	return wrong
}
