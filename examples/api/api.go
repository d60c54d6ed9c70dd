package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

const maxBody = 64 << 10

// api is the handlers of an instance. They don't know that they are called once:
// the middleware before them sees to that. It keeps nothing itself.
type api struct {
	gateway *gateway
}

func (a *api) createOrder(w http.ResponseWriter, r *http.Request) {
	var request OrderRequest
	if !read(w, r, &request) {
		return
	}
	if request.Amount <= 0 || len(request.Currency) != 3 {
		problem{Status: http.StatusBadRequest, Title: "An order needs a positive amount and a currency"}.write(w)
		return
	}
	a.book(w, r, Booking{Order: &request})
}

func (a *api) createPayment(w http.ResponseWriter, r *http.Request) {
	var request PaymentRequest
	if !read(w, r, &request) {
		return
	}
	if request.Order == "" || request.Amount <= 0 || len(request.Currency) != 3 || request.Source == "" {
		problem{Status: http.StatusBadRequest, Title: "A payment needs an order, a positive amount, a currency and a source"}.write(w)
		return
	}
	a.book(w, r, Booking{Payment: &request})
}

func (a *api) createRefund(w http.ResponseWriter, r *http.Request) {
	var request RefundRequest
	if !read(w, r, &request) {
		return
	}
	if request.Payment == "" || request.Amount < 0 {
		problem{Status: http.StatusBadRequest, Title: "A refund needs a charge, and no negative amount"}.write(w)
		return
	}
	a.book(w, r, Booking{Refund: &request})
}

// book does what all three do. The reference and the fencing token come from the
// middleware: the key within its scope, and the number of the attempt, so to say.
func (a *api) book(w http.ResponseWriter, r *http.Request, b Booking) {
	b.Key = r.Header.Get(keyHeader)
	if execution, ok := idempotency.ExecutionOf(r.Context()); ok {
		b.Reference, b.Fence = execution.Key, execution.Fence
	} else { // without the library
		b.Reference = r.URL.Path + " " + b.Key
	}
	booked, err := a.gateway.book(r.Context(), b)
	answerOf(booked, err).write(w)
}

func (a *api) payment(w http.ResponseWriter, r *http.Request) {
	booked, found, err := a.gateway.find(r.Context(), "/payments/"+r.PathValue("id"))
	answerLookup(w, booked, found, err)
}

func (a *api) order(w http.ResponseWriter, r *http.Request) {
	booked, found, err := a.gateway.find(r.Context(), "/orders/"+r.PathValue("id"))
	answerLookup(w, booked, found, err)
}

func answerLookup(w http.ResponseWriter, booked Booked, found bool, err error) {
	if err == nil && !found {
		problem{Status: http.StatusNotFound, Title: "There is nothing with this ID"}.write(w)
		return
	}
	if err != nil { // a look has no outcome that could be unknown
		err = errors.Join(ErrNotBooked, err)
	}
	answer := answerOf(booked, err)
	if answer.status < http.StatusBadRequest || answer.status == http.StatusPaymentRequired {
		answer = reply{http.StatusOK, booked.resource()}
	}
	answer.write(w)
}

// read reads the body of a request, and answers it where that can't be done.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		problem{Status: http.StatusBadRequest, Title: "The body of the request can't be read", Detail: err.Error()}.write(w)
	}
	return err == nil
}
