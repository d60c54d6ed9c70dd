package readme

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
	"github.com/reprise-go/reprise/idempotency/idemclient"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type accountKey struct{}

// accountOf is the account that authentication has put into the ctx.
func accountOf(ctx context.Context) (string, error) {
	account, ok := ctx.Value(accountKey{}).(string)
	if !ok {
		return "", errors.New("not signed in")
	}
	return account, nil
}

// API protects a handler.
func API(payments *idempotency.Executor, mux *http.ServeMux, createPayment http.HandlerFunc) error {
	protect, err := idemhttp.New(payments, idemhttp.Options{
		Scope: func(r *http.Request) (string, error) { return accountOf(r.Context()) }, // nobody reads another account's responses
	})
	if err != nil {
		return err
	}
	mux.Handle("POST /v1/payments", protect(createPayment))
	return nil
}

// Client sends a request until it is answered, always under the same key.
func Client(url, body string) (*http.Response, error) {
	transport, err := idemclient.New(http.DefaultTransport, idemclient.Options{})
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport}
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	return response, err
}

// Event is a message of a queue.
type Event struct{ ID string }

// Queue handles messages.
func Queue(ctx context.Context, events *idempotency.Executor, event Event, book func(context.Context, Event) error) (consumer.Verdict, error) {
	bookings, err := consumer.New(events, consumer.Options[Event]{
		Name:   "bookings",
		Key:    func(e Event) string { return e.ID },
		Handle: func(ctx context.Context, e Event) error { return book(ctx, e) },
	})
	if err != nil {
		return consumer.Verdict{}, err
	}
	verdict := bookings.Handle(ctx, event) // Ack, Nack after verdict.Delay, or DeadLetter
	return verdict, nil
}

// Look finds out what is known of a key, and makes the store forget it.
func Look(ctx context.Context, payments *idempotency.Executor, key string) error {
	info, err := payments.Lookup(ctx, key) // state, operation, attempt, lease left, outcome, metadata, remaining time
	_ = info
	if err != nil {
		return err
	}
	return payments.Forget(ctx, key)
}
