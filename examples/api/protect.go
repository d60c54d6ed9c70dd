package main

import (
	"context"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// newHandler is the API of an instance, with the library under /v1 and without it
// under /unprotected/v1.
func newHandler(executor *idempotency.Executor, g *gateway, reports *reporter) (http.Handler, error) {
	protect, err := idemhttp.New(executor, idemhttp.Options{
		// Who the client is comes from the authentication, which the example leaves
		// out: here all are one shop. Without a scope of its own, a client that uses
		// another one's key would get the other one's receipt.
		Scope: func(*http.Request) (string, error) { return "demo-shop", nil },
		// A payment without a key can't be retried, so there is none.
		Required: true,
		Docs:     "/#keys",
		// 503 says that nothing was booked: the key is free again. What else the
		// middleware doesn't record, 504 here, is left to Reconcile.
		RetentionFor: func(response *idemhttp.Response, panicked any) idempotency.RetentionChoice {
			if panicked == nil && response.Status == http.StatusServiceUnavailable {
				return idempotency.DoNotRecord
			}
			return idemhttp.StandardRetention(response, panicked)
		},
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[*idemhttp.Response], error) {
			return reconcile(ctx, g, abandoned)
		},
	})
	if err != nil {
		return nil, err
	}
	a := &api{gateway: g}
	v1 := http.NewServeMux()
	v1.HandleFunc("POST /v1/orders", a.createOrder)
	v1.HandleFunc("GET /v1/orders/{id}", a.order)
	v1.HandleFunc("POST /v1/payments", a.createPayment)
	v1.HandleFunc("GET /v1/payments/{id}", a.payment)
	v1.HandleFunc("POST /v1/refunds", a.createRefund)
	mux := http.NewServeMux()
	mux.Handle("/v1/", protect(v1))
	mux.Handle(naivePrefix+"/v1/", http.StripPrefix(naivePrefix, reports.watched(v1)))
	return mux, nil
}

// reconcile decides on an attempt whose instance died, was paused past its lease,
// or didn't hear from the card network: nobody knows how far it got. Nobody but
// the card network, which at the same time is told to take nothing from that
// attempt any more: its request may still be on its way.
func reconcile(ctx context.Context, g *gateway, abandoned idempotency.Abandoned) (idempotency.Decision[*idemhttp.Response], error) {
	booked, found, err := g.settle(ctx, abandoned.Key, abandoned.Fence)
	switch {
	case err != nil:
		// The key stays abandoned, this request gets an error, and the next one asks
		// again. Guessing would be a double charge, or a lost one.
		return idempotency.Unknown[*idemhttp.Response](), err
	case !found:
		return idempotency.RunAgain[*idemhttp.Response](), nil
	}
	answer := answerOf(booked, nil)
	header, body := answer.encode()
	return idempotency.Answer(&idemhttp.Response{Status: answer.status, Header: header, Body: body}, nil), nil
}
