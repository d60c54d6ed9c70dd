package main

import (
	"errors"
	"log"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// errorBody is Stripe's error object.
type errorBody struct {
	Error struct {
		Charge      string `json:"charge,omitempty"`
		Code        string `json:"code,omitempty"`
		DeclineCode string `json:"decline_code,omitempty"`
		Message     string `json:"message"`
		Type        string `json:"type"`
	} `json:"error"`
}

// badRequest is a request that never reaches the operation.
type badRequest struct{ message string }

func (e *badRequest) Error() string { return e.message }

// notRecorded takes a *CommitError apart. The charge was made and its answer is
// here, but the store didn't confirm that it keeps it. The client gets what
// happened to its card. The key is left abandoned if the answer is not recorded,
// and Reconcile asks the card network when it comes again.
func notRecorded(err error) error {
	if commit, ok := errors.AsType[*idempotency.CommitError](err); ok {
		log.Printf("charge made, but not recorded: %v", commit.Err)
		return commit.ActionErr
	}
	return err
}

// describe chooses the answer to an error. The rule for a client is: 503 and 409
// may be sent again with the same key, everything else is final for the key.
func describe(err error) (status int, body errorBody) {
	e := &body.Error
	if declined, ok := errors.AsType[*CardError](err); ok {
		e.Type, e.Charge, e.DeclineCode = "card_error", declined.Charge, declined.DeclineCode
		e.Code, e.Message = declined.explain()
		return http.StatusPaymentRequired, body
	}
	if bad, ok := errors.AsType[*badRequest](err); ok {
		e.Type, e.Message = "invalid_request_error", bad.message
		return http.StatusBadRequest, body
	}
	switch {
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		// Nothing of the other request's answer is told.
		e.Type = "idempotency_error"
		e.Message = "Keys for idempotent requests can only be used with the same parameters they were first used with."
		return http.StatusBadRequest, body
	case errors.Is(err, idempotency.ErrInvalidKey):
		e.Type, e.Message = "invalid_request_error", "The Idempotency-Key header is too long."
		return http.StatusBadRequest, body
	case errors.Is(err, idempotency.ErrInProgress), errors.Is(err, idempotency.ErrWaitTimeout):
		e.Type, e.Code = "idempotency_error", "idempotency_key_in_use"
		e.Message = "Another request with this key is still being processed. Try again later."
		return http.StatusConflict, body
	case errors.Is(err, ErrGatewayBusy):
		e.Type, e.Message = "api_error", "The card network is busy; the card was not charged. Try again with the same key."
		return http.StatusServiceUnavailable, body
	case errors.Is(err, ErrOutcomeUnknown), errors.Is(err, idempotency.ErrAbandoned), errors.Is(err, idempotency.ErrLeaseLost):
		// The next request takes over and asks the network.
		e.Type = "api_error"
		e.Message = "It is not known yet whether the card was charged. Try again with the same key."
		return http.StatusServiceUnavailable, body
	}
	if _, ok := errors.AsType[*idempotency.ReplayedError](err); ok || errors.Is(err, idempotency.ErrUndecodable) {
		// Recorded: trying again with this key changes nothing.
		e.Type, e.Message = "api_error", "The payment could not be completed. Contact support before you charge the card again."
		return http.StatusInternalServerError, body
	}
	// The store could not be reached: nothing is recorded for this request, so the
	// same key may come again and then runs or replays.
	e.Type, e.Message = "api_error", "The request could not be completed. Try again with the same key."
	return http.StatusServiceUnavailable, body
}
