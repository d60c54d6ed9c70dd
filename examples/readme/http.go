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
func API(payments *idempotency.Executor, mux *http.ServeMux, createPayment func(http.ResponseWriter, *http.Request)) error {
	protect, err := idemhttp.New(payments, idemhttp.Options{
		Scope:       func(r *http.Request) (string, error) { return accountOf(r.Context()) }, // nobody reads another account's responses
		OnAbandoned: idempotency.Fail,                                                        // after a crash, or a 5xx; or give a Reconcile
	})
	if err != nil {
		return err
	}
	mux.Handle("POST /v1/payments", protect(http.HandlerFunc(createPayment)))
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

// Look finds out what is known of a key.
func Look(ctx context.Context, payments *idempotency.Executor, key string) error {
	info, err := payments.Lookup(ctx, key) // state, operation, attempt, lease left, outcome, metadata, remaining time
	_ = info
	if err != nil {
		return err
	}
	return nil
}

// Settle ends what is abandoned, one way or the other.
func Settle(ctx context.Context, payments *idempotency.Executor, charge *idempotency.Operation[Receipt], key string, receipt *Receipt) (err error) {
	if receipt != nil {
		err = charge.Resolve(ctx, key, *receipt, nil) // this is how the abandoned attempt ended: the answer from now on
	} else {
		err = payments.Forget(ctx, key) // or: it never happened, the next call runs
	}
	return err
}
