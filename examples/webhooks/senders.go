package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/idempotency/consumer/webhook"
)

const (
	stripeSecret = "whsec_of_the_example"
	githubSecret = "It's a Secret to Everybody"
)

//go:embed testdata/stripe.json
var stripeFixtures []byte

// delivery is an event, or a forgery, on its way to the receivers.
type delivery struct {
	path   string
	header func() http.Header // made anew for each sending: Stripe signs the time
	body   []byte
	copies int  // sent at the same moment
	insist bool // again until it is answered with 2xx
}

// sender sends deliveries to instances of the receiver.
type sender struct {
	client *http.Client
	urls   []string
	note   func(path string, status int)
}

// send sends one copy, to one instance or another. It returns the last status.
func (s *sender) send(ctx context.Context, d delivery) (status int, err error) {
	for try := 0; ; try++ {
		url := s.urls[rand.N(len(s.urls))] + d.path
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(d.body))
		if err != nil {
			return 0, err
		}
		req.Header = d.header()
		response, err := s.client.Do(req)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		s.note(d.path, response.StatusCode)
		if response.StatusCode < 300 || !d.insist {
			return response.StatusCode, nil
		}
		if try == 100 {
			return 0, fmt.Errorf("%s still answers %d", d.path, response.StatusCode)
		}
		// A sender's next try comes after minutes or hours; here sooner.
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// stripeDelivery is an event as Stripe sends it.
func stripeDelivery(body []byte, secret string, at func() time.Time) delivery {
	return delivery{path: "/webhooks/stripe", body: body, copies: 1, insist: true, header: func() http.Header {
		return http.Header{"Stripe-Signature": {webhook.SignStripe(body, at(), secret)}, "Content-Type": {"application/json"}}
	}}
}

// githubPush is a push as GitHub sends it.
func githubPush(id, commit, secret string) delivery {
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","after":%q,"repository":{"full_name":"shop/backend"}}`, commit)
	return delivery{path: "/webhooks/github", body: body, copies: 1, insist: true, header: func() http.Header {
		h := http.Header{}
		h.Set("X-GitHub-Delivery", id)
		h.Set("X-GitHub-Event", "push")
		h.Set("X-Hub-Signature-256", webhook.SignGitHub(body, secret))
		return h
	}}
}

// stripeBody makes an event of Stripe's fixtures.
func stripeBody(id, kind, object, objectID string, created int64, change map[string]any) ([]byte, error) {
	var fixtures map[string]map[string]any
	if err := json.Unmarshal(stripeFixtures, &fixtures); err != nil {
		return nil, err
	}
	event, data := fixtures["event"], fixtures[object]
	data["id"] = objectID
	maps.Copy(data, change)
	event["id"], event["type"], event["created"], event["data"] = id, kind, created, map[string]any{"object": data}
	return json.Marshal(event)
}
