package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	patience     = 30 * time.Second // how long a client insists on an answer
	tryTimeout   = 8 * time.Second  // of one request; longer than the API's WaitTimeout
	shortTimeout = 60 * time.Millisecond
)

// client calls the API as a shop does: with a key for each payment, and again
// with the same key when there was no answer.
type client struct {
	fleet *fleet
	http  *http.Client
}

func newClient(f *fleet) *client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &client{fleet: f, http: &http.Client{Transport: transport}}
}

// close lets go of the connections, so that the instances needn't wait for them.
func (c *client) close() { c.http.CloseIdleConnections() }

// answer is what one request was answered.
type answer struct {
	status   int
	body     []byte
	replayed bool
	waited   bool
	takeover bool
}

// final tells whether the request needn't be sent again.
func (a answer) final() bool {
	return a.status != http.StatusServiceUnavailable && a.status != http.StatusConflict
}

// send sends one request to one instance. Where a kept connection breaks before
// the reply, net/http repeats a request with an Idempotency-Key by itself.
func (c *client) send(ctx context.Context, slot int, p payment, body []byte, sent *atomic.Int64) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.fleet.url(slot)+"/v1/charges", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Stripe-Account", p.Account)
	r.Header.Set("Idempotency-Key", p.IdempotencyKey)
	sent.Add(1)
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return answer{}, err
	}
	how := response.Header.Get(outcomeHeader)
	a.replayed = response.Header.Get("Idempotent-Replayed") == "true"
	a.waited = how == "joined" || how == "waited"
	a.takeover = response.Header.Get(takeoverHeader) == "true"
	return a, nil
}

// insist sends a request until there is a final answer: after an error to the
// next instance, with the same key and the same body.
func (c *client) insist(ctx context.Context, slot int, p payment, body []byte, sent *atomic.Int64) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("no final answer"))
	defer cancel()
	backoff := 20 * time.Millisecond
	for try := 0; ; try++ {
		attempt, done := context.WithTimeout(ctx, tryTimeout)
		a, err := c.send(attempt, slot+try, p, body, sent)
		done()
		if err == nil && a.final() {
			return a, nil
		}
		if err == nil {
			err = fmt.Errorf("status %d: %s", a.status, bytes.TrimSpace(a.body))
		}
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
			return answer{}, fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		}
		backoff = min(2*backoff, 500*time.Millisecond)
	}
}
