package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/consumer"
)

// githubDelivery is a request of GitHub's.
type githubDelivery struct {
	id    string // X-GitHub-Delivery
	event string // X-GitHub-Event
	body  []byte
}

// errUnreadable is final: it stays so, however often it is sent.
var errUnreadable = errors.New("the payload can't be read")

// newGitHub makes the consumer of GitHub's deliveries. The key is the delivery's
// id, which a redelivery keeps. A second webhook that hears of the same event has
// the same id too: if several of them come to this receiver, put the hook's name
// before it.
func newGitHub(x *idempotency.Executor, books *books) (*consumer.Consumer[githubDelivery], error) {
	return consumer.New(x, consumer.Options[githubDelivery]{
		Name: "github",
		Key: func(d githubDelivery) string {
			if d.id == "" {
				return ""
			}
			return "github:" + d.id
		},
		Handle: func(ctx context.Context, d githubDelivery) error {
			if d.event != "push" {
				return nil // ping, and what we haven't asked for
			}
			var push struct {
				After string `json:"after"`
			}
			if json.Unmarshal(d.body, &push) != nil || push.After == "" {
				return errUnreadable
			}
			return books.build(ctx, push.After)
		},
		Final:    idempotency.ErrorIs(errUnreadable),
		Harmless: idempotency.ErrorIs(errBusy),
		Shield:   true,
	})
}
