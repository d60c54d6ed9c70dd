package idemhttp

import (
	"errors"
	"net/http"

	"github.com/reprise-go/reprise/idempotency"
)

// StandardRetention is the default of Options.RetentionFor. A response below 500
// is recorded, but for 408, 425 and 429, which say that the request was not
// worked on: they release the key, and the retry runs. A response of 500 and
// above, and a panic, leave the key abandoned: nobody knows what the handler did,
// so Options.OnAbandoned decides on the retry, as after a crash.
func StandardRetention(response *Response, panicked any) idempotency.RetentionChoice {
	if panicked != nil {
		return idempotency.LeaveAbandoned
	}
	switch status := response.Status; {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return idempotency.DoNotRecord
	case status >= 500:
		return idempotency.LeaveAbandoned
	}
	return idempotency.Default
}

// retentionFor is the operation's.
func (m *middleware) retentionFor(response *Response, err error) idempotency.RetentionChoice {
	var panicked any
	var p *idempotency.PanicError
	if errors.As(err, &p) {
		panicked = p.Value
	}
	switch {
	case panicked == nil && response == nil: // an error, which Reconcile found: it is to be recorded
		return idempotency.Default
	case m.RetentionFor != nil:
		return m.RetentionFor(response, panicked)
	case m.RecordServerErrors && (panicked != nil || response.Status >= 500):
		return idempotency.Default
	}
	return StandardRetention(response, panicked)
}
