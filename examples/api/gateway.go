package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrNotBooked means that nothing was booked, for certain, and that the same
	// request may be made again.
	ErrNotBooked = errors.New("the card network could not be reached; nothing was booked")
	// ErrOutcomeUnknown means that something may have been booked: it is neither an
	// answer nor a reason to run again.
	ErrOutcomeUnknown = errors.New("the card network doesn't say whether it was booked")
)

const (
	gatewayTimeout = 10 * time.Second
	lookups        = 4 // how often the network is asked what it booked
)

// gateway is an instance's client of the card network.
type gateway struct {
	url    string
	slot   int
	client *http.Client
}

func newGateway(url string, slot int) *gateway {
	// A connection for each request: net/http sends a request once more by itself
	// when a kept connection breaks under it, and the page would not see that.
	return &gateway{url: url, slot: slot, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// book books. A lost reply is no answer: the network is asked what it has booked,
// and told to book nothing of this attempt any more.
func (g *gateway) book(ctx context.Context, b Booking) (Booked, error) {
	body, err := json.Marshal(b)
	if err != nil {
		return Booked{}, err
	}
	booked, err := g.ask(ctx, http.MethodPost, "/book", body)
	var status *statusError
	switch {
	case err == nil:
		return booked, nil
	case errors.As(err, &status) && status.code == http.StatusUnprocessableEntity:
		return Booked{}, &refusal{status.message}
	case b.Fence == 0:
		// Without an attempt's fencing token there is nothing to hold on to.
		return Booked{}, fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	booked, found, lookupErr := g.settle(ctx, b.Reference, b.Fence)
	switch {
	case lookupErr != nil:
		return Booked{}, fmt.Errorf("%w: %w; %w", ErrOutcomeUnknown, err, lookupErr)
	case !found:
		return Booked{}, fmt.Errorf("%w: %w", ErrNotBooked, err)
	}
	return booked, nil
}

// settle finds out what was booked under a reference by the attempts up to fence.
// Where it finds nothing, they never will book anything.
func (g *gateway) settle(ctx context.Context, reference string, fence uint64) (booked Booked, found bool, err error) {
	path := "/booked?reference=" + url.QueryEscape(reference) + "&fence=" + strconv.FormatUint(fence, 10)
	for range lookups {
		booked, found, err = g.find(ctx, path)
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return booked, found, err
}

// find asks for something that may not be there.
func (g *gateway) find(ctx context.Context, path string) (booked Booked, found bool, err error) {
	booked, err = g.ask(ctx, http.MethodGet, path, nil)
	if status, ok := errors.AsType[*statusError](err); ok && status.code == http.StatusNotFound {
		return Booked{}, false, nil
	}
	return booked, err == nil, err
}

// statusError is an answer of the network other than 200.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return fmt.Sprintf("card network: %d %s", e.code, e.message) }

func (g *gateway) ask(ctx context.Context, method, path string, body []byte) (booked Booked, err error) {
	ctx, cancel := context.WithTimeout(ctx, gatewayTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return Booked{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(instanceHeader, strconv.Itoa(g.slot))
	response, err := g.client.Do(r)
	if err != nil {
		return Booked{}, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	switch {
	case err != nil:
		return Booked{}, err
	case response.StatusCode != http.StatusOK:
		return Booked{}, &statusError{response.StatusCode, strings.TrimSpace(string(answer))}
	}
	return booked, json.Unmarshal(answer, &booked)
}
