package main

import (
	"errors"
	"fmt"
	"testing"
)

func TestLedgerRefusesOvertakenAttempts(t *testing.T) {
	l := newLedger(func(account) {})
	booked, err := l.book(Booking{Reference: "order", Order: &OrderRequest{Amount: 100, Currency: "usd"}})
	if err != nil {
		t.Fatal(err)
	}
	pay := func(fence uint64) (Booked, error) {
		return l.book(Booking{Reference: "pay", Key: "k", Fence: fence, Payment: &PaymentRequest{Order: booked.Order.ID, Amount: 100, Currency: "usd"}})
	}
	if _, found := l.find("pay", 7); found {
		t.Error("found what was not booked")
	}
	if _, err := pay(7); !errors.Is(err, ErrFenced) {
		t.Errorf("a request that was on its way: %v", err)
	}
	first, err := pay(8)
	if err != nil {
		t.Fatal(err)
	}
	// It isn't idempotent: a second request books again. Asked, it tells of the first.
	second, err := pay(9)
	if err != nil || second.Payment.ID == first.Payment.ID {
		t.Errorf("the second one: %+v %v", second.Payment, err)
	}
	if found, ok := l.find("pay", 8); !ok || found.Payment.ID != first.Payment.ID {
		t.Errorf("find: %+v", found.Payment)
	}
	if _, err := l.book(Booking{Reference: "refund", Refund: &RefundRequest{Payment: first.Payment.ID}}); err != nil {
		t.Error(err)
	}
	// What was answered once doesn't change when the payment does.
	if found, _ := l.find("pay", 8); found.Payment.AmountRefunded != 0 {
		t.Error("the recorded booking has changed")
	}
	if a := l.account(l.orders[booked.Order.ID]); a.Charges != 2 || a.Double != 1 || a.Taken != 100 {
		t.Errorf("account: %+v", a)
	}
}

func TestLinkHitsAtOnceAndNeverForEver(t *testing.T) {
	for _, s := range []linkSwitches{{Lose: true}, {Cut: true}, {Lose: true, Cut: true, Slow: true}} {
		l := &link{rate: 0.9}
		if f, slow := l.next(); f != delivered || slow {
			t.Errorf("%+v: switched off, but %v", s, f)
		}
		l.set(s)
		row := 0
		for i := range 1000 {
			f, slow := l.next()
			if slow != s.Slow || i == 0 && f == delivered || f == cut && !s.Cut || f == replyLost && !s.Lose {
				t.Fatalf("%+v: message %d: %v, slow %v", s, i, f, slow)
			}
			if row++; f == delivered {
				row = 0
			}
			if row > 2 {
				t.Fatalf("%+v: %d in a row", s, row)
			}
		}
		l.set(linkSwitches{})
		if f, _ := l.next(); f != delivered {
			t.Errorf("%+v: switched off again, but %v", s, f)
		}
	}
}

func TestBoardIsBounded(t *testing.T) {
	b := newBoard()
	for i := range maxRows + 10 {
		b.begin(row{Path: "/v1/payments", Try: 1})
		b.book(account{Order: fmt.Sprint(i)})
	}
	c, _ := b.since(0)
	if len(c.Rows) != maxRows || c.Rows[0].ID != 11 || len(c.Accounts) != maxAccounts || c.Counters.Requests != maxRows+10 {
		t.Errorf("%d rows from %d, %d accounts, %+v", len(c.Rows), c.Rows[0].ID, len(c.Accounts), c.Counters)
	}
	b.update(1, func(*row, *counters) { t.Error("a row that is gone was updated") })
	if c, _ := b.since(c.version); len(c.Rows)+len(c.Accounts) != 0 || c.Reset {
		t.Errorf("nothing has changed, but %+v", c)
	}
	if c, _ := b.since(1 << 40); !c.Reset {
		t.Error("a version that was never there is no reset")
	}
}
