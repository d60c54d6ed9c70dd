package main

import (
	"encoding/json"
	"errors"
	"net/http"
)

// reply is an answer of the API before it is written.
type reply struct {
	status int
	body   any
}

// answerOf chooses the answer to what the card network said. The handlers and
// Reconcile both make theirs here, from what the network keeps: an answer that is
// found out later must be the one that would have been given at once.
func answerOf(booked Booked, err error) reply {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return problem{Status: http.StatusBadRequest, Title: refused.message}.reply()
	case errors.Is(err, ErrNotBooked):
		return problem{Status: http.StatusServiceUnavailable, Title: "The card network can't be reached; nothing was booked",
			Detail: "Send the same request with the same key again."}.reply()
	case err != nil:
		return problem{Status: http.StatusGatewayTimeout, Title: "It is not known yet whether this was booked",
			Detail: "Send the same request with the same key again."}.reply()
	}
	if p := booked.Payment; p != nil && !p.Paid {
		return problem{Status: http.StatusPaymentRequired, Title: *p.FailureMessage, Code: *p.FailureCode, Charge: p.ID}.reply()
	}
	return reply{http.StatusOK, booked.resource()}
}

// resource is the one thing that was booked.
func (b Booked) resource() any {
	switch {
	case b.Order != nil:
		return b.Order
	case b.Payment != nil:
		return b.Payment
	}
	return b.Refund
}

func (a reply) write(w http.ResponseWriter) {
	header, body := a.encode()
	for name, values := range header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
}

func (a reply) encode() (http.Header, []byte) {
	body, err := json.Marshal(a.body)
	if err != nil {
		panic(err) // the types of this package can be marshalled
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if _, ok := a.body.(problem); ok {
		header.Set("Content-Type", "application/problem+json")
	}
	if a.status == http.StatusServiceUnavailable || a.status == http.StatusGatewayTimeout {
		header.Set("Retry-After", "1")
	}
	return header, append(body, '\n')
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail,omitempty"`
	Code   string `json:"code,omitempty"`   // of a declined card
	Charge string `json:"charge,omitempty"` // the ID of the attempt
}

func (p problem) reply() reply                { return reply{p.Status, p} }
func (p problem) write(w http.ResponseWriter) { p.reply().write(w) }
