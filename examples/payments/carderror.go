package main

import (
	"errors"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
)

// CardError is a declined card. It is an answer like a charge: recorded, and
// replayed to whoever comes with the key again.
//
// A replayed error has the text of the original, for everything else stayed in
// the process that made it. So what a CardError is made of is its text, and
// restoreCardError reads it back: the handler matches a declined card in the same
// way whether it was declined now or yesterday by another machine. Where an error
// holds more than fits into a line, record it as a value instead: a T with a field
// for the decline.
type CardError struct {
	DeclineCode string // "insufficient_funds"
	Charge      string // the ID of the attempt
}

const cardErrorPrefix = "card declined: "

// Error is recorded in Redis: a new version of the program must still be able to
// read what an old one wrote.
func (e *CardError) Error() string { return cardErrorPrefix + e.DeclineCode + " " + e.Charge }

// restoreCardError is the operation's OnErrorReplayed hook. Any other error stays
// what it is.
func restoreCardError(err error) error {
	replayed, ok := errors.AsType[*idempotency.ReplayedError](err)
	if !ok {
		return err
	}
	text, ok := strings.CutPrefix(replayed.Error(), cardErrorPrefix)
	if !ok {
		return err
	}
	code, charge, _ := strings.Cut(text, " ")
	return &CardError{DeclineCode: code, Charge: charge}
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
