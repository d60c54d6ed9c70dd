package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// authorizationRequest is what the card network is sent.
type authorizationRequest struct {
	Reference string `json:"reference"` // the API's key
	ChargeRequest
}

// Authorization is what the network keeps of an attempt to charge a card.
type Authorization struct {
	ID        string `json:"id"`
	Reference string `json:"reference"`
	ChargeRequest
	DeclineCode string      `json:"decline_code,omitempty"` // empty: approved
	Card        CardDetails `json:"card"`
	Created     int64       `json:"created"`
}

const (
	slowNetwork  = 250 * time.Millisecond // for a timeout_retry; below settledWithin
	busyAttempts = 2                      // how often a gateway_busy is refused
)

// network is a card network, in the parent process so that it survives the
// instances. It is not idempotent: whatever it is sent, it books. It can be asked
// what it has booked under a reference, as every real one can.
type network struct {
	// booked is called when a payment of the crash scenario has been booked for the
	// first time, before the reply. The instance is the process that sent it.
	booked func(reference string, instance int)

	scenario map[string]string // by reference

	mu        sync.Mutex
	busy      map[string]int // how often a reference was refused
	attempts  map[string][]Authorization
	sequences int
}

func newNetwork(payments []payment, booked func(reference string, instance int)) *network {
	n := &network{booked: booked, scenario: map[string]string{}, busy: map[string]int{}, attempts: map[string][]Authorization{}}
	for _, p := range payments {
		n.scenario[p.reference()] = p.Scenario
	}
	return n
}

func (n *network) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /authorizations", n.authorize)
	mux.HandleFunc("GET /authorizations", n.find)
	return mux
}

// authorize books a charge. Whether anybody still listens for the answer makes no
// difference to it.
func (n *network) authorize(w http.ResponseWriter, r *http.Request) {
	var request authorizationRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	scenario := n.scenario[request.Reference]
	delay := 5*time.Millisecond + rand.N(35*time.Millisecond)
	if scenario == timeoutRetry {
		delay = slowNetwork
	}
	time.Sleep(delay)
	a, first, ok := n.book(request)
	if !ok {
		http.Error(w, "try again later", http.StatusTooManyRequests)
		return
	}
	if instance, err := strconv.Atoi(r.Header.Get("Instance")); scenario == crash && first && err == nil {
		n.booked(request.Reference, instance)
	}
	writeJSON(w, a)
}

// book keeps the attempt, unless the network is busy. First tells whether it is
// the first one under its reference.
func (n *network) book(request authorizationRequest) (a Authorization, first, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.scenario[request.Reference] == gatewayBusy && n.busy[request.Reference] < busyAttempts {
		n.busy[request.Reference]++
		return a, false, false
	}
	n.sequences++
	a = Authorization{
		ID: fmt.Sprintf("ch_3P%06d%06x", n.sequences, rand.N(1<<24)), Reference: request.Reference,
		ChargeRequest: request.ChargeRequest, DeclineCode: declineCodes[request.Source], Card: cardOf(request.Source),
		Created: time.Now().Unix(),
	}
	n.attempts[request.Reference] = append(n.attempts[request.Reference], a)
	return a, len(n.attempts[request.Reference]) == 1, true
}

// find answers what was booked under a reference, the first attempt where there
// are several.
func (n *network) find(w http.ResponseWriter, r *http.Request) {
	attempts := n.attemptsOf(r.FormValue("reference"))
	if len(attempts) == 0 {
		http.Error(w, "nothing under this reference", http.StatusNotFound)
		return
	}
	writeJSON(w, attempts[0])
}

func (n *network) attemptsOf(reference string) []Authorization {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.attempts[reference])
}

// chargesOf is the attempts that took money.
func (n *network) chargesOf(reference string) []Authorization {
	return slices.DeleteFunc(n.attemptsOf(reference), func(a Authorization) bool { return a.DeclineCode != "" })
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Stripe's test tokens, and what their cards do.
var declineCodes = map[string]string{
	"tok_chargeDeclined":                  "generic_decline",
	"tok_chargeDeclinedInsufficientFunds": "insufficient_funds",
	"tok_chargeDeclinedExpiredCard":       "expired_card",
	"tok_chargeDeclinedIncorrectCvc":      "incorrect_cvc",
}

func cardOf(token string) CardDetails {
	card := CardDetails{Brand: "visa", Country: "US", Funding: "credit", Last4: "4242"}
	switch token {
	case "tok_visa_debit":
		card.Funding, card.Last4 = "debit", "5556"
	case "tok_mastercard":
		card.Brand, card.Last4 = "mastercard", "4444"
	case "tok_amex":
		card.Brand, card.Last4 = "amex", "8431"
	case "tok_discover":
		card.Brand, card.Last4 = "discover", "9424"
	case "tok_jcb":
		card.Brand, card.Country, card.Last4 = "jcb", "JP", "0505"
	}
	if strings.HasPrefix(token, "tok_chargeDeclined") {
		card.Last4 = "0002"
	}
	card.Network = card.Brand
	return card
}
