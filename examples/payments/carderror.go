package main

import (
	"github.com/reprise-go/reprise/codec"
)

// CardError is a declined card. It is an answer like a charge: recorded, and
// replayed to whoever comes with the key again.
//
// replayableErrors registers it, so that its fields travel in the record: the
// handler matches a declined card by errors.As in the same way whether it was
// declined now or yesterday by another machine.
type CardError struct {
	DeclineCode string // "insufficient_funds"
	Charge      string // the ID of the attempt
}

func (e *CardError) Error() string { return "card declined: " + e.DeclineCode }

// replayableErrors names the errors that keep their identity in a replay. The
// names stand in the records: they never change.
func replayableErrors() (*codec.Errors, error) {
	return codec.NewErrors(codec.ErrorSet{
		Types: []codec.ErrorType{codec.ErrorTypeOf("payments.CardError", codec.ErrorTypeOptions[*CardError]{})},
	})
}

// explain is what Stripe answers for a decline code.
func (e *CardError) explain() (code, message string) {
	switch e.DeclineCode {
	case "insufficient_funds":
		return "card_declined", "Your card has insufficient funds."
	case "expired_card":
		return "expired_card", "Your card has expired."
	case "incorrect_cvc":
		return "incorrect_cvc", "Your card's security code is incorrect."
	}
	return "card_declined", "Your card was declined."
}
