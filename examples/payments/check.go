package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// check is the example's own proof: each key charged once, and every caller of a
// key got the same answer, which is what the card network booked. It returns what
// is wrong, a line each.
func check(results []played, n *network) []string {
	var wrong []string
	for _, r := range results {
		complain := func(format string, args ...any) {
			wrong = append(wrong, r.reference()+" ("+r.Scenario+"): "+fmt.Sprintf(format, args...))
		}
		if r.err != nil {
			complain("a caller got no answer: %v", r.err)
		}
		attempts, charges := n.attemptsOf(r.reference()), n.chargesOf(r.reference())
		switch {
		case len(charges) > 1:
			complain("charged %d times: %s", len(charges), describeCharges(charges))
		case len(attempts) != 1:
			complain("the network was asked %d times for one payment", len(attempts))
		}
		if len(r.answers) == 0 {
			complain("nobody got an answer")
			continue
		}
		for _, a := range r.answers[1:] {
			if a.status != r.answers[0].status || !bytes.Equal(a.body, r.answers[0].body) {
				complain("two callers got different answers: %s / %s", r.answers[0].summary(), a.summary())
			}
		}
		if len(attempts) == 1 {
			if problem := agrees(r.answers[0], r.request, attempts[0]); problem != "" {
				complain("%s", problem)
			}
		}
		for _, a := range r.refusals {
			if !a.refused() {
				complain("the key was used for another amount, and answered %s", a.summary())
			}
		}
		if r.Scenario == otherAmount && len(r.refusals) != 1 {
			complain("the request for another amount got no answer")
		}
	}
	return wrong
}

// agrees compares an answer with what was asked for and with what was booked.
func agrees(a answer, request ChargeRequest, booked Authorization) string {
	var body struct {
		Charge
		errorBody
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return fmt.Sprintf("the answer is no JSON: %v", err)
	}
	id, status := body.ID, http.StatusOK
	if booked.DeclineCode != "" {
		id, status = body.Error.Charge, http.StatusPaymentRequired
	}
	switch {
	case a.status != status:
		return fmt.Sprintf("the network booked %s, the answer is %s", booked.ID, a.summary())
	case id != booked.ID:
		return fmt.Sprintf("the network booked %s, the answer names %q", booked.ID, id)
	case status == http.StatusOK && (body.Amount != request.Amount || booked.Amount != request.Amount):
		return fmt.Sprintf("asked for %d, booked %d, answered %d", request.Amount, booked.Amount, body.Amount)
	}
	return ""
}

// refused tells whether the answer is that the key belongs to another request.
func (a answer) refused() bool {
	var body errorBody
	return a.status == http.StatusBadRequest && json.Unmarshal(a.body, &body) == nil && body.Error.Type == "idempotency_error"
}

func (a answer) summary() string {
	var body struct {
		ID string `json:"id"`
		errorBody
	}
	_ = json.Unmarshal(a.body, &body)
	return fmt.Sprintf("%d %s%s %s", a.status, body.ID, body.Error.Type, body.Error.Message)
}

func describeCharges(charges []Authorization) string {
	var text bytes.Buffer
	for i, c := range charges {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s %d %s", c.ID, c.Amount, c.Currency)
	}
	return text.String()
}
