package main

import (
	"context"
	"encoding/json"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

// stripeEvent is what the receiver needs of an event.
type stripeEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Created int64  `json:"created"`
	Data    struct {
		Object struct {
			ID     string `json:"id"`
			Charge string `json:"charge"` // of a dispute
			Amount int64  `json:"amount"`
		} `json:"object"`
	} `json:"data"`
}

// readStripe reads an event. What it can't read has no id, and the consumer puts
// it aside.
func readStripe(body []byte) (event stripeEvent) {
	if json.Unmarshal(body, &event) != nil {
		return stripeEvent{}
	}
	return event
}

// newStripe makes the consumer of Stripe's events. The key is the event's id,
// which is the same in every delivery. There is no fingerprint of the body:
// pending_webhooks in it changes from one delivery to the next. (Stripe may, in
// rare cases, make two events of one change; for effects that must not happen
// twice even then, use the type and the object's id.)
func newStripe(x *idempotency.Executor, books *books) (*consumer.Consumer[stripeEvent], error) {
	return consumer.New(x, consumer.Options[stripeEvent]{
		Name: "stripe",
		Key: func(e stripeEvent) string {
			if e.ID == "" {
				return ""
			}
			return "stripe:" + e.ID
		},
		Handle:   func(ctx context.Context, e stripeEvent) error { return handleStripe(ctx, books, e) },
		Harmless: idempotency.ErrorIs(errBusy),
		// The sender hangs up after some seconds; what was begun is finished.
		Shield: true,
	})
}

// handleStripe books an event. Events arrive in any order: a refund may come
// before its charge, so each carries a state and the time since when it holds, and
// the books keep the latest. Instead one can ask Stripe's API for the object.
func handleStripe(ctx context.Context, books *books, e stripeEvent) error {
	object := e.Data.Object
	switch e.Type {
	case "charge.succeeded":
		return books.book(ctx, e.ID, entry{charge: object.ID, state: "paid", since: e.Created})
	case "charge.refunded":
		return books.book(ctx, e.ID, entry{charge: object.ID, state: "refunded", since: e.Created})
	case "charge.dispute.created":
		return books.book(ctx, e.ID, entry{charge: object.Charge, state: "disputed", since: e.Created})
	}
	return nil // nothing to do
}
