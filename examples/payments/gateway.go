package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// ErrGatewayBusy means that the card was certainly not charged.
var ErrGatewayBusy = errors.New("the card network is busy")

// ErrOutcomeUnknown means that the card may have been charged: it is neither an
// answer nor a reason to run again.
var ErrOutcomeUnknown = errors.New("the card network doesn't say whether the card was charged")

const (
	// gatewayTimeout is how long the network may take for an answer.
	gatewayTimeout = 3 * time.Second
	// settledWithin is the network's word: what it has not booked so long after the
	// connection was lost it never will.
	settledWithin = 500 * time.Millisecond
)

// gateway is a client of the card network.
type gateway struct {
	url    string
	client *http.Client
}

func newGateway(url string) *gateway {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &gateway{url: url, client: &http.Client{Transport: transport}}
}

// charge charges the card. A lost reply is no answer: the network is asked what
// it has booked under the reference, before anything is recorded.
func (g *gateway) charge(ctx context.Context, reference string, request ChargeRequest) (Charge, error) {
	a, err := g.authorize(ctx, reference, request)
	if err == nil {
		return a.charge()
	}
	if errors.Is(err, ErrGatewayBusy) {
		return Charge{}, err
	}
	a, found, lookupErr := g.settled(ctx, reference)
	switch {
	case lookupErr != nil:
		return Charge{}, fmt.Errorf("%w: %w; %w", ErrOutcomeUnknown, err, lookupErr)
	case !found:
		return Charge{}, fmt.Errorf("%w: %w", ErrGatewayBusy, err)
	}
	return a.charge()
}

// authorize sends the charge, once.
func (g *gateway) authorize(ctx context.Context, reference string, request ChargeRequest) (Authorization, error) {
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	body, err := json.Marshal(authorizationRequest{Reference: reference, ChargeRequest: request})
	if err != nil {
		return Authorization{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/authorizations", bytes.NewReader(body))
	if err != nil {
		return Authorization{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Instance", strconv.Itoa(os.Getpid())) // so that the example knows whom to kill
	var a Authorization
	status, err := g.do(r, &a)
	switch {
	case err != nil:
		return Authorization{}, err
	case status == http.StatusTooManyRequests:
		return Authorization{}, ErrGatewayBusy
	case status != http.StatusOK:
		return Authorization{}, fmt.Errorf("the card network answered %d", status)
	}
	return a, nil
}

// settled finds out what the network has booked under a reference. Nobody may be
// charging under it any more. A request that was sent and not answered may still
// be booked, so "nothing" is believed only when it holds for as long as that can
// take.
func (g *gateway) settled(ctx context.Context, reference string) (a Authorization, found bool, err error) {
	a, found, err = g.lookup(ctx, reference)
	if found || err != nil {
		return a, found, err
	}
	timer := time.NewTimer(settledWithin)
	defer timer.Stop()
	select {
	case <-timer.C:
		return g.lookup(ctx, reference)
	case <-ctx.Done():
		return Authorization{}, false, ctx.Err()
	}
}

func (g *gateway) lookup(ctx context.Context, reference string) (a Authorization, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/authorizations?reference="+url.QueryEscape(reference), nil)
	if err != nil {
		return a, false, err
	}
	status, err := g.do(r, &a)
	switch {
	case err != nil:
		return a, false, err
	case status == http.StatusNotFound:
		return a, false, nil
	case status != http.StatusOK:
		return a, false, fmt.Errorf("the card network answered %d", status)
	}
	return a, true, nil
}

func (g *gateway) do(r *http.Request, into any) (status int, err error) {
	response, err := g.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return response.StatusCode, nil
	}
	return response.StatusCode, json.NewDecoder(response.Body).Decode(into)
}
