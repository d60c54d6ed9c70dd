package main

import (
	"net/http"
	"runtime"
	"slices"
	"testing"
)

func TestLostReplies(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{Browser: linkSwitches{Lose: true}})
	// The first request after the switch always loses its reply.
	a, tries := c.insist(1, "/v1/payments", "key", payment)
	if a.status != http.StatusOK || !a.replayed || tries < 2 {
		t.Errorf("after %d tries: %d replayed=%v %s", tries, a.status, a.replayed, a.body)
	}
	if a := c.account(order); a.Charges != 1 {
		t.Errorf("the ledger: %+v", a)
	}
	counters := c.state().Counters
	if counters.Lost != tries-1 || counters.Retries != tries-1 || counters.Ran != 1 {
		t.Errorf("counters: %+v", counters)
	}
	if rows := c.rows("key"); rows[0].Fate != "lost" || rows[0].Outcome != "executed" || rows[len(rows)-1].Fate != "answered" {
		t.Errorf("the board: %+v", rows)
	}
}

func TestClientIsCutOffWhileItsPaymentRuns(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{Browser: linkSwitches{Cut: true}, LatencyMS: 1000})
	if a, err := c.send(http.MethodPost, c.at(1, "/v1/payments"), "key", payment); err == nil {
		t.Fatalf("answered: %d %s", a.status, a.body)
	}
	// The handler goes on although its client has left, and this one waits for it.
	c.flip(switches{LatencyMS: 1000})
	a := c.post(2, "/v1/payments", "key", payment)
	if a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.account(order); a.Charges != 1 {
		t.Errorf("the ledger: %+v", a)
	}
	if rows := c.rows("key"); rows[0].Fate != "cut" {
		t.Errorf("the board: %+v", rows[0])
	}
	if ran := c.state().Counters.Ran; ran != 1 {
		t.Errorf("the handler ran %d times", ran)
	}
}

func TestKilledInstance(t *testing.T) {
	for slot, name := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			order, payment := c.order()
			c.flip(switches{Arm: "kill"})
			first := c.post(slot+1, "/v1/payments", "key", payment)
			if first.status != http.StatusBadGateway || first.header.Get("Retry-After") == "" {
				t.Errorf("of the killed instance: %d %s", first.status, first.body)
			}
			if a := c.account(order); a.Charges != 1 {
				t.Fatalf("the card was not charged before the kill: %+v", a)
			}
			same(t, c.atOnce(4, "/v1/payments", "key", payment))
			if a := c.account(order); a.Charges != 1 {
				t.Errorf("the ledger: %+v", a)
			}
			// The handler ran once: Reconcile found what it had done.
			if counters := c.state().Counters; counters.Ran != 1 || counters.Takeovers != 1 {
				t.Errorf("counters: %+v", counters)
			}
			rows := c.rows("key")
			if !rows[0].Died || rows[0].Fate != "down" {
				t.Errorf("the board: %+v", rows[0])
			}
			if !slices.ContainsFunc(rows, func(r row) bool {
				return r.Takeover && slices.ContainsFunc(r.Steps, func(s step) bool { return s.Kind == "reconcile" })
			}) {
				t.Errorf("nobody reconciled: %+v", rows)
			}
			if arm := c.state().World.Switches.Arm; arm != "" {
				t.Errorf("still armed: %q", arm)
			}
			until(t, "another instance is up", func() bool { return c.fleet.states()[slot].state == stateUp })
			if a := c.post(slot+1, "/v1/payments", "key", payment); a.status != http.StatusOK || !a.replayed {
				t.Errorf("of the new instance: %d %s", a.status, a.body)
			}
		})
	}
}

func TestInstancePausedBeyondItsLease(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("needs a system with a signal that pauses a process")
	}
	for slot, name := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			order, payment := c.order()
			c.flip(switches{Arm: "pause"})
			paused := make(chan answer, 1)
			go func() {
				a, _ := c.insist(slot+1, "/v1/payments", "key", payment)
				paused <- a
			}()
			until(t, "it is paused", func() bool { return c.fleet.states()[slot].state == statePaused })
			// Takes over while the other one is away, and finds the charge.
			other := c.post((slot+1)%len(clients)+1, "/v1/payments", "key", payment)
			same(t, []answer{other, <-paused})
			if a := c.account(order); a.Charges != 1 {
				t.Errorf("the ledger: %+v", a)
			}
			if counters := c.state().Counters; counters.Ran != 1 || counters.Takeovers != 1 {
				t.Errorf("counters: %+v", counters)
			}
		})
	}
}

// Everything bad at once: every request gets its answer in the end, and the card
// is charged once.
func TestEverythingBad(t *testing.T) {
	bad := linkSwitches{Lose: true, Cut: true}
	for _, test := range []struct {
		name string
		switches
	}{
		{"redis", switches{Redis: bad}},
		{"card network", switches{Network: bad}},
		{"slow", switches{Browser: linkSwitches{Slow: true}, Redis: linkSwitches{Slow: true}, Network: linkSwitches{Slow: true}}},
		{"all", switches{Browser: bad, Redis: bad, Network: bad, Arm: "kill"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			order, payment := c.order()
			c.flip(test.switches)
			same(t, c.atOnce(6, "/v1/payments", "key", payment))
			if a := c.account(order); a.Charges != 1 || a.Double != 0 {
				t.Errorf("the ledger: %+v", a)
			}
		})
	}
}

func TestGatewayAsksWhatWasBooked(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{Network: linkSwitches{Lose: true}})
	// The first reply of the card network is always lost, and the API finds out.
	if a, _ := c.insist(1, "/v1/payments", "key", payment); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.account(order); a.Charges != 1 {
		t.Errorf("the ledger: %+v", a)
	}
}
