package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

const (
	maxBody = 64 << 10
	maxKey  = 255 // what Stripe allows
)

// api is the payments API.
type api struct {
	charges *idempotency.Operation[Charge]
	network *gateway
}

// createCharge is POST /v1/charges.
func (a *api) createCharge(w http.ResponseWriter, r *http.Request) {
	key, body, request, err := readCharge(w, r)
	if err != nil {
		reply(w, Charge{}, err)
		return
	}
	// The fingerprint tells a retry from another payment under a used key. It is
	// made of the bytes that were sent: a client that retries sends the same. If
	// yours builds the body anew, hash what must not change instead (amount,
	// currency, card).
	fingerprint := sha256.Sum256(body)

	ctx, how := withOutcome(r.Context())
	result, err := a.charges.Do(ctx, idempotency.Call{Key: key, Fingerprint: fingerprint[:]},
		func(ctx context.Context) (Charge, error) {
			return a.network.charge(ctx, key, request)
		})
	if r.Context().Err() != nil {
		return // The client has left. Its charge goes on, see Detach.
	}
	if result.Replayed {
		w.Header().Set("Idempotent-Replayed", "true") // as Stripe does
	}
	how.writeTo(w.Header())
	reply(w, result.Value, err)
}

// readCharge reads what both handlers need.
func readCharge(w http.ResponseWriter, r *http.Request) (key string, body []byte, request ChargeRequest, err error) {
	if key, err = accountKey(r); err != nil {
		return "", nil, request, err
	}
	if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return "", nil, request, &badRequest{"The request body could not be read: " + err.Error()}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return "", nil, request, &badRequest{"Invalid request body: " + err.Error()}
	}
	if request.Amount <= 0 || request.Currency == "" || request.Source == "" {
		return "", nil, request, &badRequest{"A charge needs a positive amount, a currency and a source."}
	}
	return key, body, request, nil
}

// accountKey is the key of a payment: the client's, within its account. Keys are
// chosen by clients, and two of them choose "order-1001" on the same day; without
// the account one would get the other's charge. It comes from the authentication,
// which the example leaves out, never from something that the client can choose.
func accountKey(r *http.Request) (string, error) {
	account, key := r.Header.Get("Stripe-Account"), r.Header.Get("Idempotency-Key")
	switch {
	case account == "":
		return "", &badRequest{"The Stripe-Account header is missing."}
	case key == "":
		return "", &badRequest{"The Idempotency-Key header is missing: a charge without one can't be retried."}
	case len(key) > maxKey:
		return "", &badRequest{"The Idempotency-Key header is longer than 255 bytes."}
	}
	return account + "/" + key, nil // no account's name holds a slash
}

// reply writes a charge, or an error in Stripe's shape.
func reply(w http.ResponseWriter, charge Charge, err error) {
	err = notRecorded(err)
	status, answer := http.StatusOK, any(charge)
	if err != nil {
		status, answer = describe(err)
	}
	if status == http.StatusInternalServerError {
		log.Printf("charge: %v", err) // the library's errors never show the key
	}
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
