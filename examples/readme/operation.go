package readme

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/neterrors"
	"github.com/reprise-go/reprise/idempotency"
)

// Errors of the payment provider.
var (
	ErrGatewayBusy    = errors.New("gateway busy")
	ErrGatewayTimeout = errors.New("gateway timed out")
	ErrRateLimited    = errors.New("rate limited")
	ErrNoSuchCharge   = errors.New("no such charge")
	ErrDeclined       = errors.New("card declined")
)

// CardError is an error with fields.
type CardError struct{ Code string }

func (e *CardError) Error() string { return "card: " + e.Code }

// Charge declares the operation and calls it.
func Charge(ctx context.Context, payments *idempotency.Executor, body []byte, chargeCustomer func(context.Context) (Receipt, error)) (Receipt, error) {
	charge, err := idempotency.NewOperation(payments, idempotency.OperationOptions[Receipt]{
		Name:        "charge",
		IgnoreError: func(err error) bool { return errors.Is(err, ErrGatewayBusy) }, // not recorded: the next call runs again
		OnReplayed: func(ctx context.Context, key string, value Receipt) (Receipt, error) {
			value.Replayed = true // what the caller gets, not what is recorded
			return value, nil
		},
	})
	if err != nil {
		return Receipt{}, err
	}
	hash := sha256.Sum256(body)
	result, err := charge.Do(ctx, idempotency.Call{Key: "payment-123", Fingerprint: hash[:]}, chargeCustomer)
	// result.Value, result.Replayed, result.Attempt, result.Fence: filled on errors too
	return result.Value, err
}

// Registry names the errors that keep their identity.
func Registry() (*codec.Errors, error) {
	registry, err := codec.NewErrors(codec.ErrorSet{
		Sentinels: map[string]error{"billing.ErrDeclined": ErrDeclined},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("billing.CardError", codec.ErrorTypeOptions[*CardError]{})},
	}, neterrors.Set())
	return registry, err
}

// Provider is a payment provider that can be asked.
type Provider interface {
	FindCharge(ctx context.Context, key string) (Receipt, error)
}

// wait tells whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// Policies are the options about outcomes and crashes. After settled no request
// to the provider can be on its way any more.
func Policies(provider Provider, settled time.Duration) idempotency.OperationOptions[Receipt] {
	return idempotency.OperationOptions[Receipt]{
		RetentionFor: func(value Receipt, err error) idempotency.RetentionChoice {
			switch {
			case err == nil:
				return idempotency.Default
			case errors.Is(err, ErrGatewayTimeout):
				return idempotency.LeaveAbandoned // nobody knows: OnAbandoned decides on the next call
			case errors.Is(err, ErrRateLimited):
				return idempotency.DoNotRecord
			default:
				return idempotency.For(7 * 24 * time.Hour)
			}
		},
		Reconcile: func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[Receipt], error) {
			receipt, err := provider.FindCharge(ctx, abandoned.Key)
			if errors.Is(err, ErrNoSuchCharge) && wait(ctx, settled) { // the dead attempt's request may still be on its way
				receipt, err = provider.FindCharge(ctx, abandoned.Key)
			}
			switch {
			case err == nil:
				return idempotency.Answer(receipt, nil), nil // it was charged: this is the answer
			case errors.Is(err, ErrNoSuchCharge):
				return idempotency.RunAgain[Receipt](), nil
			default:
				return idempotency.Unknown[Receipt](), err // the key stays abandoned
			}
		},
	}
}
