package idemhttp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/idempotency"
)

// How long a client is told to wait where nothing better is known.
const (
	retrySoon  = time.Second
	retryLater = 5 * time.Second // the store is down
)

// refuse writes a problem.
func (m *middleware) refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	if p.Type == "" {
		p.Type = m.Docs
	}
	m.Problem(w, r, p)
}

// The titles of missing, malformed, reused and outstanding keys are those of the
// IETF draft (draft-ietf-httpapi-idempotency-key-header), with the header's name.

func (m *middleware) missing() *Problem {
	return &Problem{Code: CodeKeyMissing, Status: http.StatusBadRequest,
		Title:  m.Headers[0] + " is missing",
		Detail: "This operation is idempotent and it requires correct usage of Idempotency Key."}
}

func (m *middleware) malformed(err error) *Problem {
	detail := "The value of " + m.Headers[0] + " can't be used: " + err.Error() + "."
	if err == errTooLong {
		detail = "The value of " + m.Headers[0] + " may have at most " + strconv.Itoa(m.MaxKey) + " characters."
	}
	return &Problem{Code: CodeKeyMalformed, Status: http.StatusBadRequest, Err: err,
		Title: m.Headers[0] + " is malformed", Detail: detail}
}

// problem is what a client gets that gets no response of a handler.
func (m *middleware) problem(r *http.Request, key string, metadata map[string]string, err error) *Problem {
	p := &Problem{Err: err}
	set := func(status int, code, title, detail string) *Problem {
		p.Status, p.Code, p.Title, p.Detail = status, code, title, detail
		return p
	}
	var replayed *idempotency.ReplayedError
	var commit *idempotency.CommitError
	var busy *idempotency.InProgressError
	var own *idempotency.Error
	switch {
	case err == nil:
		return set(http.StatusInternalServerError, CodeUnreadable, "Response is missing", "The request was decided to have an outcome, but none was given.")
	case errors.Is(err, idempotency.ErrNotKept):
		p.OriginalStatus, _ = strconv.Atoi(metadata[metadataStatus])
		return set(http.StatusInternalServerError, CodeNotKept, "Response was not kept",
			"The request was executed and will not be executed again, but its response could not be kept. Only the first caller got it.")
	case errors.As(err, &replayed):
		return set(http.StatusInternalServerError, CodeFailed, "Request has failed",
			"The request was executed and failed. It will not be executed again.")
	case errors.As(err, &commit): // of what Reconcile has found
		p.RetryAfter = retryLater
		return set(http.StatusServiceUnavailable, CodeUnavailable, "Response could not be recorded",
			"It was found out what became of this request, but it could not be recorded. Send it again with the same key.")
	case errors.Is(err, idempotency.ErrFingerprintMismatch):
		return set(http.StatusUnprocessableEntity, CodeKeyReused, m.Headers[0]+" is already used",
			"This operation is idempotent and it requires correct usage of Idempotency Key. Idempotency Key MUST not be reused across different payloads of this operation.")
	case errors.As(err, &busy):
		p.RetryAfter = max(busy.LeaseLeft, retrySoon)
		return m.outstanding(p)
	case errors.Is(err, idempotency.ErrWaitTimeout):
		p.RetryAfter = m.leaseLeft(r.Context(), key)
		return m.outstanding(p)
	case errors.Is(err, idempotency.ErrAbandoned):
		set(http.StatusInternalServerError, CodeOutcomeUnknown, "Outcome is unknown",
			"An earlier attempt of this request was interrupted, and it is not known whether it took effect. It is not executed again until that is known.")
		if m.Reconcile != nil { // the next call asks again
			p.Status, p.RetryAfter = http.StatusServiceUnavailable, retryLater
		}
		return p
	case errors.Is(err, idempotency.ErrLeaseLost):
		p.RetryAfter = retrySoon
		return set(http.StatusServiceUnavailable, CodeUnavailable, "Request was overtaken",
			"Another attempt of this request has taken over. Send it again with the same key to get its response.")
	case errors.Is(err, idempotency.ErrUndecodable), errors.Is(err, backend.ErrCorrupt):
		return set(http.StatusInternalServerError, CodeUnreadable, "Response can't be read",
			"The request was received before, but its record can't be read. It is not executed again.")
	case r.Context().Err() != nil:
		p.RetryAfter = retrySoon
		return set(http.StatusServiceUnavailable, CodeUnavailable, "Request was given up",
			"The time for this request was over before it had its response. Send it again with the same key.")
	case errors.As(err, &own) && (own.Step == "call" || own.Step == "options"):
		return set(http.StatusInternalServerError, CodeInternal, "Request can't be protected", "")
	}
	p.RetryAfter = retryLater
	return set(http.StatusServiceUnavailable, CodeUnavailable, "Idempotency is unavailable",
		"The request was not executed, because it could not be protected against being executed twice.")
}

func (m *middleware) outstanding(p *Problem) *Problem {
	p.Status, p.Code = http.StatusConflict, CodeInProgress
	p.Title = "A request is outstanding for this " + m.Headers[0]
	p.Detail = "A request with the same Idempotency-Key for the same operation is being processed or is outstanding."
	return p
}

// leaseLeft asks how long the holder's lease still runs: the client that comes
// back then finds a response, or an abandoned key.
func (m *middleware) leaseLeft(ctx context.Context, key string) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, retrySoon)
	defer cancel()
	info, err := m.executor.Lookup(ctx, key)
	if err != nil {
		return retrySoon
	}
	return max(info.LeaseLeft, retrySoon)
}
