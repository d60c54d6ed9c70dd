package main

// ChargeRequest is the body of POST /v1/charges, with the fields that the example
// uses of Stripe's.
type ChargeRequest struct {
	Amount                    int64             `json:"amount"` // in the currency's smallest unit
	Currency                  string            `json:"currency"`
	Source                    string            `json:"source"` // a token: tok_visa
	Description               string            `json:"description,omitempty"`
	ReceiptEmail              string            `json:"receipt_email,omitempty"`
	StatementDescriptorSuffix string            `json:"statement_descriptor_suffix,omitempty"`
	Metadata                  map[string]string `json:"metadata,omitempty"`
}

// Charge is Stripe's charge object, with the fields that the example fills. It is
// what the operation records: its JSON must read back as what was written.
type Charge struct {
	ID                        string               `json:"id"`
	Object                    string               `json:"object"`
	Amount                    int64                `json:"amount"`
	AmountCaptured            int64                `json:"amount_captured"`
	AmountRefunded            int64                `json:"amount_refunded"`
	BalanceTransaction        string               `json:"balance_transaction"`
	Captured                  bool                 `json:"captured"`
	Created                   int64                `json:"created"`
	Currency                  string               `json:"currency"`
	Description               string               `json:"description"`
	Disputed                  bool                 `json:"disputed"`
	FailureCode               *string              `json:"failure_code"`
	FailureMessage            *string              `json:"failure_message"`
	Livemode                  bool                 `json:"livemode"`
	Metadata                  map[string]string    `json:"metadata"`
	Outcome                   ChargeOutcome        `json:"outcome"`
	Paid                      bool                 `json:"paid"`
	PaymentMethod             string               `json:"payment_method"`
	PaymentMethodDetails      PaymentMethodDetails `json:"payment_method_details"`
	ReceiptEmail              string               `json:"receipt_email"`
	Refunded                  bool                 `json:"refunded"`
	StatementDescriptorSuffix string               `json:"statement_descriptor_suffix"`
	Status                    string               `json:"status"`
}

// ChargeOutcome is how the network saw it.
type ChargeOutcome struct {
	NetworkStatus string `json:"network_status"`
	SellerMessage string `json:"seller_message"`
	Type          string `json:"type"`
}

// PaymentMethodDetails is what was charged.
type PaymentMethodDetails struct {
	Card CardDetails `json:"card"`
	Type string      `json:"type"`
}

// CardDetails is what may be known of a card.
type CardDetails struct {
	Brand   string `json:"brand"`
	Country string `json:"country"`
	Funding string `json:"funding"`
	Last4   string `json:"last4"`
	Network string `json:"network"`
}

// charge is what the API answers for what the network booked. The action and
// Reconcile both make their answer here, from what the network keeps: an answer
// that is found out later must be the one that would have been given at once.
func (a Authorization) charge() (Charge, error) {
	if a.DeclineCode != "" {
		return Charge{}, &CardError{DeclineCode: a.DeclineCode, Charge: a.ID}
	}
	return Charge{
		ID: a.ID, Object: "charge", Amount: a.Amount, AmountCaptured: a.Amount, BalanceTransaction: "txn_" + a.ID[len("ch_"):],
		Captured: true, Created: a.Created, Currency: a.Currency, Description: a.Description, Metadata: a.Metadata,
		Outcome: ChargeOutcome{NetworkStatus: "approved_by_network", SellerMessage: "Payment complete.", Type: "authorized"},
		Paid:    true, PaymentMethod: "card_" + a.ID[len("ch_"):],
		PaymentMethodDetails: PaymentMethodDetails{Card: a.Card, Type: "card"},
		ReceiptEmail:         a.ReceiptEmail, StatementDescriptorSuffix: a.StatementDescriptorSuffix, Status: "succeeded",
	}, nil
}
