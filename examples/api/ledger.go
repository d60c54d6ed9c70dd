package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Booking is what the card network is asked to do: exactly one of Order, Payment
// and Refund.
type Booking struct {
	// Reference is what the API will ask for it by, when it doesn't know whether the
	// booking was made.
	Reference string `json:"reference"`
	// Key is the client's Idempotency-Key, for the page only.
	Key string `json:"key"`
	// Fence is the fencing token of the attempt; zero without the library.
	Fence   uint64          `json:"fence,omitempty"`
	Order   *OrderRequest   `json:"order,omitempty"`
	Payment *PaymentRequest `json:"payment,omitempty"`
	Refund  *RefundRequest  `json:"refund,omitempty"`
}

// Booked is what came of a booking: one of the three.
type Booked struct {
	Order   *Order   `json:"order,omitempty"`
	Payment *Payment `json:"payment,omitempty"`
	Refund  *Refund  `json:"refund,omitempty"`
}

// ErrFenced is a booking of an attempt that somebody else has taken over from.
var ErrFenced = errors.New("this attempt was overtaken")

// refusal is a booking that can't be made; nothing was booked.
type refusal struct{ message string }

func (e *refusal) Error() string { return e.message }

// charge is a payment with what the page shows of it.
type charge struct {
	Payment
	key string
}

// ledger is the books of the card network. It lives in the parent process, so that
// it survives the instances, and it is not idempotent: whatever it is sent, it
// books, as often as it is sent. But like every real one it can be asked what it
// has booked under a reference, and it takes a fencing token.
type ledger struct {
	changed func(account) // told of every order that is new or paid for; set once

	mu       sync.Mutex
	declines int // percent
	number   int
	first    map[string]Booked // by reference: what was booked under it first
	fences   map[string]uint64 // by reference: attempts up to this one book nothing any more
	orders   map[string]*Order
	payments map[string]*charge
	charges  map[string][]*charge // by order
}

func newLedger(changed func(account)) *ledger {
	return &ledger{
		changed: changed, first: map[string]Booked{}, fences: map[string]uint64{},
		orders: map[string]*Order{}, payments: map[string]*charge{}, charges: map[string][]*charge{},
	}
}

// book makes the booking.
func (l *ledger) book(b Booking) (Booked, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b.Fence != 0 && b.Fence <= l.fences[b.Reference] {
		return Booked{}, ErrFenced
	}
	var booked Booked
	var err error
	switch {
	case b.Order != nil:
		booked.Order = l.order(b.Order)
	case b.Payment != nil:
		booked.Payment, err = l.pay(b.Key, b.Payment)
	case b.Refund != nil:
		booked.Refund, err = l.refund(b.Refund)
	default:
		err = &refusal{"nothing to book"}
	}
	if err != nil {
		return Booked{}, err
	}
	if _, known := l.first[b.Reference]; !known {
		l.first[b.Reference] = booked
	}
	return booked, nil
}

func (l *ledger) order(r *OrderRequest) *Order {
	order := &Order{
		ID: l.id("pi_"), Object: "payment_intent", Amount: r.Amount, Created: time.Now().Unix(), Currency: r.Currency,
		Description: r.Description, Metadata: r.Metadata, Status: "requires_payment_method",
	}
	l.orders[order.ID] = order
	l.changed(l.account(order))
	copied := *order
	return &copied
}

func (l *ledger) pay(key string, r *PaymentRequest) (*Payment, error) {
	order, ok := l.orders[r.Order]
	switch {
	case !ok:
		return nil, &refusal{"There is no order " + r.Order + "."}
	case r.Currency != order.Currency:
		return nil, &refusal{"The order is in " + order.Currency + "."}
	}
	c := &charge{key: key, Payment: Payment{
		ID: l.id("ch_"), Object: "charge", Amount: r.Amount, Created: time.Now().Unix(), Currency: r.Currency, Order: order.ID,
		Method: PaymentMethodDetails{Type: "card", Card: CardDetails{Brand: "visa", Country: "US", Last4: "4242"}},
	}}
	if strings.HasPrefix(r.Source, "tok_chargeDeclined") || rand.N(100) < l.declines {
		code, message := "card_declined", "Your card was declined."
		c.FailureCode, c.FailureMessage, c.Status = &code, &message, "failed"
	} else {
		c.AmountCaptured, c.Captured, c.Paid, c.Status = r.Amount, true, true, "succeeded"
		order.AmountReceived += r.Amount
		order.Status, order.LatestCharge = "succeeded", &c.ID
	}
	l.payments[c.ID] = c
	l.charges[order.ID] = append(l.charges[order.ID], c)
	l.changed(l.account(order))
	copied := c.Payment
	return &copied, nil
}

func (l *ledger) refund(r *RefundRequest) (*Refund, error) {
	c, ok := l.payments[r.Payment]
	if !ok || !c.Paid {
		return nil, &refusal{"There is no paid charge " + r.Payment + "."}
	}
	left := c.Amount - c.AmountRefunded
	amount := r.Amount
	if amount == 0 {
		amount = left
	}
	if amount > left || left == 0 {
		return nil, &refusal{fmt.Sprintf("Only %d of the charge can still be refunded.", left)}
	}
	c.AmountRefunded += amount
	c.Refunded = c.AmountRefunded == c.Amount
	l.changed(l.account(l.orders[c.Order]))
	return &Refund{
		ID: l.id("re_"), Object: "refund", Amount: amount, Payment: c.ID, Created: time.Now().Unix(), Currency: c.Currency,
		Reason: r.Reason, Status: "succeeded",
	}, nil
}

// find tells what was booked first under a reference. From then on no attempt up
// to fence can book anything under it: what is not there now never will be, and
// nobody needs to wait for a request that may still be on its way.
func (l *ledger) find(reference string, fence uint64) (Booked, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	booked, ok := l.first[reference]
	l.fences[reference] = max(l.fences[reference], fence)
	return booked, ok
}

func (l *ledger) findOrder(id string) (Order, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	order, ok := l.orders[id]
	if !ok {
		return Order{}, false
	}
	return *order, true
}

func (l *ledger) findPayment(id string) (Payment, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.payments[id]
	if !ok {
		return Payment{}, false
	}
	return c.Payment, true
}

func (l *ledger) setDeclines(percent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.declines = percent
}

// id makes an ID in the form of Stripe's.
func (l *ledger) id(prefix string) string {
	l.number++
	return fmt.Sprintf("%s3P%04d%04x", prefix, l.number, rand.N(1<<16))
}

// account is what the page shows of an order.
type account struct {
	Order    string   `json:"order"`
	Amount   int64    `json:"amount"`
	Currency string   `json:"currency"`
	Taken    int64    `json:"taken"`    // from cards, less what went back
	Charges  int      `json:"charges"`  // that took money
	Declined int      `json:"declined"` // that did not
	Double   int      `json:"double"`   // charges too many: a key's second one, and so on
	Receipts []string `json:"receipts"`
	Created  int64    `json:"created"`
}

func (l *ledger) account(order *Order) account {
	a := account{Order: order.ID, Amount: order.Amount, Currency: order.Currency, Created: order.Created, Receipts: []string{}}
	var keys []string
	for _, c := range l.charges[order.ID] {
		if !c.Paid {
			a.Declined++
			continue
		}
		a.Charges++
		a.Taken += c.Amount - c.AmountRefunded
		a.Receipts = append(a.Receipts, c.ID)
		if slices.Contains(keys, c.key) {
			a.Double++
		}
		keys = append(keys, c.key)
	}
	return a
}
