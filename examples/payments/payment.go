package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed requests.jsonl
var requestsFile []byte

// What happens to a payment on its way. The order is that of the report.
const (
	plain        = "plain"         // nothing
	doubleClick  = "double_click"  // sent twice at once, to one instance or to two
	timeoutRetry = "timeout_retry" // the network is slow, the client gives up and tries another instance
	declined     = "declined"      // the card is declined, and the client tries again
	gatewayBusy  = "gateway_busy"  // the network refuses the first attempts
	otherAmount  = "other_amount"  // the key comes again, for another amount
	crash        = "crash"         // the instance is killed after the network has booked the charge
)

var scenarios = []string{plain, doubleClick, timeoutRetry, declined, gatewayBusy, otherAmount, crash}

// payment is one line of requests.jsonl.
type payment struct {
	Scenario       string          `json:"scenario"`
	Account        string          `json:"account"`
	IdempotencyKey string          `json:"idempotency_key"`
	OtherAmount    int64           `json:"other_amount"`
	Charge         json.RawMessage `json:"charge"` // the body, as it is sent

	request ChargeRequest // Charge, decoded
}

// reference is what the card network calls the payment.
func (p payment) reference() string { return p.Account + "/" + p.IdempotencyKey }

// otherBody is the body of the request that uses the key for another amount.
func (p payment) otherBody() ([]byte, error) {
	other := p.request
	other.Amount = p.OtherAmount
	return json.Marshal(other)
}

func readPayments(file []byte) ([]payment, error) {
	var payments []payment
	lines := bufio.NewScanner(bytes.NewReader(file))
	for lines.Scan() {
		var p payment
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("requests.jsonl, line %d: %w", len(payments)+1, err)
		}
		if err := json.Unmarshal(p.Charge, &p.request); err != nil {
			return nil, fmt.Errorf("requests.jsonl, line %d: %w", len(payments)+1, err)
		}
		payments = append(payments, p)
	}
	return payments, lines.Err()
}
