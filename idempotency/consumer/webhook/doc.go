// Package webhook checks the signatures of webhooks: that the body which a
// receiver read is the one which Stripe or GitHub sent. Check before anything
// else is done with a request; then handle it once with package consumer, by the
// id that the sender gives it.
//
//	| sender | signature           | key of the message                                |
//	|--------|---------------------|---------------------------------------------------|
//	| Stripe | Stripe-Signature    | the event's id in the body                        |
//	| GitHub | X-Hub-Signature-256 | X-GitHub-Delivery: a redelivery has the same one, |
//	|        |                     | and so have all webhooks that hear of one event   |
//
// A receiver that serves several endpoints or accounts puts their name before the
// id. GitHub's id is no part of what is signed: who replays an old body under a
// new id isn't found out, so a fingerprint of the body doesn't help there, and
// handlers should look at the state that the body speaks of.
//
// Both need the body's bytes as they were sent, not a JSON value that was decoded
// and encoded again.
package webhook
