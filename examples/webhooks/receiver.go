package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
	"github.com/reprise-go/reprise/idempotency/consumer/webhook"
)

const maxBody = 1 << 20 // GitHub sends up to 25 MB; take what your events need

// receiver is one instance of the service that receives webhooks.
type receiver struct {
	executor     *idempotency.Executor
	stripe       *consumer.Consumer[stripeEvent]
	github       *consumer.Consumer[githubDelivery]
	stripeSecret string
	githubSecret string
	putAside     func(body []byte, verdict consumer.Verdict)
}

func newReceiver(store backend.Backend, namespace string, books *books) (*receiver, error) {
	executor, err := idempotency.New(store, idempotency.Options{
		Namespace: namespace,
		// Stripe sends an event again for up to three days, and GitHub lets people
		// redeliver for as long.
		Retention: 7 * 24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	r := &receiver{
		executor: executor, stripeSecret: stripeSecret, githubSecret: githubSecret, putAside: books.putAside,
	}
	if r.stripe, err = newStripe(executor, books); err != nil {
		return nil, err
	}
	r.github, err = newGitHub(executor, books)
	return r, err
}

// ServeHTTP routes the two webhooks.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "The body could not be read.", status)
		return
	}
	switch req.Method + " " + req.URL.Path {
	case "POST /webhooks/stripe":
		// While a secret is being replaced, both are given here.
		if err := webhook.Stripe(req.Header.Get("Stripe-Signature"), body, time.Now(), 0, r.stripeSecret); err != nil {
			refuse(w, err)
			return
		}
		r.answer(w, body, r.stripe.Handle(req.Context(), readStripe(body)))
	case "POST /webhooks/github":
		if err := webhook.GitHub(req.Header.Get("X-Hub-Signature-256"), body, r.githubSecret); err != nil {
			refuse(w, err)
			return
		}
		r.answer(w, body, r.github.Handle(req.Context(), githubDelivery{
			id: req.Header.Get("X-GitHub-Delivery"), event: req.Header.Get("X-GitHub-Event"), body: body,
		}))
	default:
		http.NotFound(w, req)
	}
}

// refuse answers a request that isn't from whom it says. It isn't looked at any
// further, and has no key: who forges an event must not be able to block it.
func refuse(w http.ResponseWriter, err error) {
	slog.Debug("refused a webhook", "error", err)
	http.Error(w, "The signature could not be verified.", http.StatusBadRequest)
}

// answer tells the sender whether to send the event again: anything but 2xx does,
// at Stripe. (GitHub never does so by itself; the delivery is shown as failed, and
// somebody or some job redelivers it.) A message that is in progress elsewhere
// gets 503 too: with 200, and a handler that fails after all, the event would be
// lost.
func (r *receiver) answer(w http.ResponseWriter, body []byte, verdict consumer.Verdict) {
	if verdict.Err != nil && !errors.Is(verdict.Err, idempotency.ErrInProgress) {
		slog.Debug("webhook", "reason", verdict.Reason, "error", verdict.Err)
	}
	switch verdict.Action {
	case consumer.Ack:
		w.WriteHeader(http.StatusOK)
	case consumer.DeadLetter:
		r.putAside(body, verdict)
		w.WriteHeader(http.StatusOK)
	case consumer.Nack:
		seconds := (verdict.Delay + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// drain waits for what outlived its request; call it after the server's Shutdown.
func (r *receiver) drain(ctx context.Context) error { return r.executor.Drain(ctx) }
