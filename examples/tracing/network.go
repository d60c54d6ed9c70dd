package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// networkLatency is how long the card network takes for a charge.
const networkLatency = 60 * time.Millisecond

const declinedCard = "tok_chargeDeclined"

// payment is what a client asks for.
type payment struct {
	Reference string `json:"reference,omitempty"` // the idempotency key
	Amount    int    `json:"amount"`
	Card      string `json:"card"`
}

// Charge is the answer of the API.
type Charge struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

var errDeclined = errors.New("the card was declined")

// network is a card network: what it has booked stays booked, whoever dies.
type network struct {
	mu     sync.Mutex
	booked map[string]Charge
	// onBooked is called after a booking, before anybody is told of it.
	onBooked func(ctx context.Context, reference string)
}

func newNetwork(onBooked func(ctx context.Context, reference string)) *network {
	return &network{booked: map[string]Charge{}, onBooked: onBooked}
}

func (n *network) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /charges", func(w http.ResponseWriter, r *http.Request) {
		var p payment
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if p.Card == declinedCard {
			time.Sleep(networkLatency)
			http.Error(w, "declined", http.StatusPaymentRequired)
			return
		}
		n.mu.Lock()
		charge := Charge{ID: fmt.Sprintf("ch_%d", len(n.booked)+1), Amount: p.Amount}
		n.booked[p.Reference] = charge
		n.mu.Unlock()
		n.onBooked(r.Context(), p.Reference)
		time.Sleep(networkLatency)
		_ = json.NewEncoder(w).Encode(charge)
	})
	mux.HandleFunc("GET /charges/{reference}", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		charge, ok := n.booked[r.PathValue("reference")]
		n.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(charge)
	})
	return mux
}

// gateway is a process' client of the card network. Its spans are children of the
// action's: the action's ctx is what it gets.
type gateway struct {
	url    string
	tracer trace.Tracer
}

func (g *gateway) charge(ctx context.Context, p payment) (Charge, error) {
	ctx, end := g.begin(ctx, "card network: charge")
	body, err := json.Marshal(p)
	if err != nil {
		return Charge{}, end(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/charges", bytes.NewReader(body))
	if err != nil {
		return Charge{}, end(err)
	}
	charge, _, err := g.send(request)
	return charge, end(err)
}

// lookUp asks whether a payment was charged.
func (g *gateway) lookUp(ctx context.Context, reference string) (charge Charge, found bool, err error) {
	ctx, end := g.begin(ctx, "card network: look up")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/charges/"+reference, nil)
	if err != nil {
		return Charge{}, false, end(err)
	}
	charge, found, err = g.send(request)
	return charge, found, end(err)
}

func (g *gateway) begin(ctx context.Context, name string) (context.Context, func(error) error) {
	ctx, span := g.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err error) error {
		if err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End()
		return err
	}
}

func (g *gateway) send(request *http.Request) (charge Charge, found bool, err error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Charge{}, false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		err := json.NewDecoder(response.Body).Decode(&charge)
		return charge, err == nil, err
	case http.StatusNotFound:
		return Charge{}, false, nil
	case http.StatusPaymentRequired:
		return Charge{}, false, errDeclined
	}
	return Charge{}, false, fmt.Errorf("card network: %s", response.Status)
}

// serve serves a handler on a free port of the loopback interface.
func serve(handler http.Handler) (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() { _ = server.Close() }, nil
}
