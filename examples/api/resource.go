package main

// The resources of the API are Stripe's, with the fields that the example fills:
// an order is a payment_intent, a payment is a charge.

// OrderRequest is the body of POST /v1/orders.
type OrderRequest struct {
	Amount      int64             `json:"amount"` // in the currency's smallest unit
	Currency    string            `json:"currency"`
	Description string            `json:"description,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Order is something that is to be paid.
type Order struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Amount         int64             `json:"amount"`
	AmountReceived int64             `json:"amount_received"`
	Created        int64             `json:"created"`
	Currency       string            `json:"currency"`
	Description    string            `json:"description"`
	LatestCharge   *string           `json:"latest_charge"`
	Livemode       bool              `json:"livemode"`
	Metadata       map[string]string `json:"metadata"`
	Status         string            `json:"status"`
}

// PaymentRequest is the body of POST /v1/payments.
type PaymentRequest struct {
	Order    string `json:"order"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	Source   string `json:"source"` // a token: tok_visa, or tok_chargeDeclined
}

// Payment is an attempt to charge a card, also one that was declined.
type Payment struct {
	ID             string               `json:"id"`
	Object         string               `json:"object"`
	Amount         int64                `json:"amount"`
	AmountCaptured int64                `json:"amount_captured"`
	AmountRefunded int64                `json:"amount_refunded"`
	Captured       bool                 `json:"captured"`
	Created        int64                `json:"created"`
	Currency       string               `json:"currency"`
	FailureCode    *string              `json:"failure_code"`
	FailureMessage *string              `json:"failure_message"`
	Livemode       bool                 `json:"livemode"`
	Order          string               `json:"payment_intent"`
	Method         PaymentMethodDetails `json:"payment_method_details"`
	Paid           bool                 `json:"paid"`
	Refunded       bool                 `json:"refunded"`
	Status         string               `json:"status"`
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
	Last4   string `json:"last4"`
}

// RefundRequest is the body of POST /v1/refunds.
type RefundRequest struct {
	Payment string `json:"charge"`
	Amount  int64  `json:"amount,omitempty"` // zero: what is left of the payment
	Reason  string `json:"reason,omitempty"`
}

// Refund is money that went back.
type Refund struct {
	ID       string `json:"id"`
	Object   string `json:"object"`
	Amount   int64  `json:"amount"`
	Payment  string `json:"charge"`
	Created  int64  `json:"created"`
	Currency string `json:"currency"`
	Reason   string `json:"reason"`
	Status   string `json:"status"`
}
