package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/redistest"
)

func TestDoubleClickAtOneInstance(t *testing.T) {
	for slot, name := range clients {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			order, payment := c.order()
			c.flip(switches{LatencyMS: 300})
			answers := make(chan answer, 5)
			for range cap(answers) {
				go func() { answers <- c.post(slot+1, "/v1/payments", "key", payment) }()
			}
			var all []answer
			for range cap(answers) {
				all = append(all, <-answers)
			}
			same(t, all)
			if a := c.account(order); a.Charges != 1 || a.Taken != 4200 {
				t.Errorf("the ledger: %+v", a)
			}
			counts := c.outcomes("key")
			if counts["executed"] != 1 || counts["joined"]+counts["replayed"] != len(all)-1 {
				t.Errorf("outcomes: %v", counts)
			}
			if again := c.post(slot+1, "/v1/payments", "key", payment); !again.replayed {
				t.Errorf("a later one is no replay: %v", again.header)
			}
		})
	}
}

func TestThreeInstances(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{LatencyMS: 500})
	answers := c.atOnce(9, "/v1/payments", "key", payment)
	same(t, answers)
	if a := c.account(order); a.Charges != 1 || a.Double != 0 {
		t.Errorf("the ledger: %+v", a)
	}
	counts := c.outcomes("key")
	if counts["executed"] != 1 || counts["joined"]+counts["waited"]+counts["replayed"] != 8 {
		t.Errorf("outcomes: %v", counts)
	}
	if got := c.state().Counters; got.Requests != 9 || got.Ran != 1 || got.Waited+got.Replayed != 8 {
		t.Errorf("counters: %+v", got)
	}
	var payment1 Payment
	answers[0].into(t, &payment1)
	var found Payment
	c.get("/v1/payments/"+payment1.ID).into(t, &found)
	if found.ID != payment1.ID || found.Amount != 4200 || found.Order != order || found.Object != "charge" {
		t.Errorf("GET /v1/payments: %+v", found)
	}
	var paid Order
	c.get("/v1/orders/"+order).into(t, &paid)
	if paid.Status != "succeeded" || paid.AmountReceived != 4200 || paid.LatestCharge == nil || *paid.LatestCharge != payment1.ID {
		t.Errorf("GET /v1/orders: %+v", paid)
	}
	if a := c.get("/v1/payments/ch_none"); a.status != http.StatusNotFound {
		t.Errorf("GET of no payment: %d %s", a.status, a.body)
	}
}

func TestRefusals(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	if a := c.post(0, "/v1/payments", "key", payment); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, test := range []struct {
		name, path, key, body string
		status                int
	}{
		{"other payload", "/v1/payments", "key", paymentOf(order, 4300, "tok_visa"), 422},
		{"other endpoint", "/v1/refunds", "key", payment, 422},
		{"no key", "/v1/payments", "", payment, 400},
		{"malformed key", "/v1/payments", `"unclosed`, payment, 400},
		{"no JSON", "/v1/payments", "a", "{", 400},
		{"no amount", "/v1/payments", "b", paymentOf(order, 0, "tok_visa"), 400},
		{"no such order", "/v1/payments", "c", paymentOf("pi_none", 1, "tok_visa"), 400},
		{"declined", "/v1/payments", "d", paymentOf(order, 4200, "tok_chargeDeclined"), 402},
		{"declined again", "/v1/payments", "d", paymentOf(order, 4200, "tok_chargeDeclined"), 402},
	} {
		a := c.post(0, test.path, test.key, test.body)
		var p problem
		a.into(t, &p)
		if a.status != test.status || p.Status != test.status || p.Title == "" || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v %s, want %d", test.name, a.status, a.header.Get("Content-Type"), a.body, test.status)
		}
		if test.name == "declined again" && (!a.replayed || p.Charge == "") {
			t.Errorf("a declined card is no replay: %v %s", a.header, a.body)
		}
	}
	if a := c.account(order); a.Charges != 1 || a.Declined != 1 || a.Taken != 4200 {
		t.Errorf("the ledger: %+v", a)
	}
}

func TestRefundIsMadeOnce(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	var paid Payment
	c.post(0, "/v1/payments", "pay", payment).into(t, &paid)
	answers := c.atOnce(6, "/v1/refunds", "refund", `{"charge": "`+paid.ID+`", "amount": 1000}`)
	same(t, answers)
	if a := c.account(order); a.Taken != 3200 {
		t.Errorf("the ledger: %+v", a)
	}
	if a := c.post(0, "/v1/refunds", "refund-2", `{"charge": "`+paid.ID+`", "amount": 5000}`); a.status != http.StatusBadRequest {
		t.Errorf("a refund of too much: %d %s", a.status, a.body)
	}
}

func TestWithoutTheLibrary(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{LatencyMS: 200})
	for _, a := range c.atOnce(3, naivePrefix+"/v1/payments", "key", payment) {
		if a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if a := c.account(order); a.Charges != 3 || a.Double != 2 || a.Taken != 3*4200 {
		t.Errorf("the ledger: %+v", a)
	}
	until(t, "three handlers are reported", func() bool { return c.state().Counters.Ran == 3 })
	for _, r := range c.rows("key") {
		if !r.Naive || r.Outcome != "" || r.Path != "/v1/payments" {
			t.Errorf("the board: %+v", r)
		}
	}
}

func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	c := start(t)
	order, payment := c.order()
	c.flip(switches{LatencyMS: 1500})
	answered := make(chan answer, 1)
	go func() { answered <- c.post(2, "/v1/payments", "key", payment) }()
	until(t, "the handler runs", func() bool { return c.state().Counters.Ran == 1 })
	c.stop()
	c.cleanups = nil
	select {
	case a := <-answered:
		if a.status != http.StatusOK {
			t.Errorf("%d %s", a.status, a.body)
		}
	case <-time.After(patience):
		t.Fatal("no answer")
	}
	if a := c.account(order); a.Charges != 1 {
		t.Errorf("the ledger: %+v", a)
	}
}

// A payment whose client has left is finished too, and recorded: Executor.Drain.
func TestStopDrains(t *testing.T) {
	c := start(t)
	_, payment := c.order()
	c.flip(switches{LatencyMS: 1500, Browser: linkSwitches{Cut: true}})
	if a, err := c.send(http.MethodPost, c.at(2, "/v1/payments"), "key", payment); err == nil {
		t.Fatalf("answered: %d %s", a.status, a.body)
	}
	until(t, "the handler runs", func() bool { return c.state().Counters.Ran == 1 })
	c.stop()
	c.cleanups = nil
	steps := c.rows("key")[0].Steps
	if last := steps[len(steps)-1]; last.Kind != "commit" || last.Ended == 0 || last.Err {
		t.Errorf("the instance ended before the answer was recorded: %+v", steps)
	}
}

// With a real server rueidis answers from its cache, by CLIENT TRACKING.
func TestRealRedis(t *testing.T) {
	t.Setenv("REPRISE_REDIS_ADDR", redistest.Address(t))
	c := start(t)
	if got := c.state().World.Redis; got == "embedded" {
		t.Error("it has an embedded Redis")
	}
	order, payment := c.order()
	c.flip(switches{LatencyMS: 200, Browser: linkSwitches{Lose: true}, Arm: "kill"})
	same(t, c.atOnce(9, "/v1/payments", "key", payment))
	for range 3 {
		same(t, c.atOnce(3, "/v1/payments", "key", payment))
	}
	if a := c.account(order); a.Charges != 1 {
		t.Errorf("the ledger: %+v", a)
	}
}
