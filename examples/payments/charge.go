package main

import (
	"context"
	"errors"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// newCharges declares the operation "charge": once per process, used by every
// request.
func newCharges(store backend.Backend, namespace string, network *gateway) (*idempotency.Operation[Charge], error) {
	registry, err := replayableErrors()
	if err != nil {
		return nil, err
	}
	payments, err := idempotency.New(store, idempotency.Options{
		// Instances share their answers because they share the namespace.
		Namespace: namespace,
		// How long a key is remembered. Promise your clients less than this: after
		// it, the same key charges again. Stripe keeps keys for 24 hours; ten minutes
		// are for an example that cleans up after itself.
		Retention: 10 * time.Minute,
		// How long a key is blocked when its instance dies. It is renewed while the
		// charge runs, so it may be shorter than the slowest charge, but not shorter
		// than the longest pause of a process. The default of 30 s is a good one; a
		// second makes the example short.
		Lease: time.Second,
		// How long a request waits for another one with its key. Less than the
		// timeout of the clients and the load balancer before us.
		WaitTimeout: 5 * time.Second,
		// A replayed error is still what it was: see carderror.go.
		Errors:   registry,
		Observer: outcomes{},
	})
	if err != nil {
		return nil, err
	}
	return idempotency.NewOperation(payments, idempotency.OperationOptions[Charge]{
		// Travels in the record: the key of a charge can't replay as a refund.
		Name: "charge",
		// A client that hangs up must not stop a charge half-way: it goes on, is
		// recorded, and the client's retry is told what came of it, at whichever
		// instance it arrives.
		Detach: true,
		// Only what certainly had no effect may run again under the same key.
		// Everything else, a declined card too, is an answer, and is replayed.
		IgnoreError: func(err error) bool { return errors.Is(err, ErrGatewayBusy) },
		// Where the network doesn't say whether the card was charged, nobody knows:
		// then Reconcile asks it again, on the next request with the key.
		RetentionFor: func(_ Charge, err error) idempotency.RetentionChoice {
			if errors.Is(err, ErrOutcomeUnknown) {
				return idempotency.LeaveAbandoned
			}
			return idempotency.Default
		},
		// An instance died in the middle of a charge, and nobody knows how far it
		// got. Nobody but the card network.
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[Charge], error) {
			authorization, found, err := network.settled(ctx, abandoned.Key)
			switch {
			case err != nil:
				// The key stays abandoned, this request fails, and the next one asks
				// again. Guessing would be a double charge, or a lost one.
				return idempotency.Unknown[Charge](), err
			case !found:
				return idempotency.RunAgain[Charge](), nil
			}
			return idempotency.Answer(authorization.charge()), nil
		},
	})
}
