package idemhttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Codes of problems: the member "code" of the body, for programs.
const (
	CodeKeyMissing     = "key_missing"         // 400
	CodeKeyMalformed   = "key_malformed"       // 400
	CodeKeyReused      = "key_reused"          // 422: the key belongs to another request
	CodeInProgress     = "in_progress"         // 409: the first request is still running
	CodeBodyTooLarge   = "body_too_large"      // 413
	CodeBodyUnreadable = "body_unreadable"     // 400, or 408 where it took too long
	CodeUnavailable    = "unavailable"         // 503: nothing ran, or another attempt's response is the key's
	CodeOutcomeUnknown = "outcome_unknown"     // 500 or 503: an earlier attempt ended without an outcome
	CodeNotKept        = "response_not_kept"   // 500: the request was executed, its response could not be kept
	CodeFailed         = "failed"              // 500: the recorded outcome is a panic or another error
	CodeUnreadable     = "response_unreadable" // 500: the recorded response can't be read
	CodeInternal       = "internal"            // 500: the scope or the fingerprint could not be made
)

// Problem is a response of the middleware's own: RFC 9457. It is an error too, so
// that Options.Scope and Options.Fingerprint can return one of theirs; a zero
// Status is then 500.
type Problem struct {
	// Code tells programs what is wrong.
	Code string
	// Status of the response.
	Status int
	// Type is a URI for the kind of problem: Options.Docs, or empty.
	Type string
	// Title and Detail are for people. They never hold a key or anything of the
	// other request.
	Title  string
	Detail string
	// RetryAfter is when the same request may be sent again; zero where that is no
	// use. It is rounded up to seconds.
	RetryAfter time.Duration
	// OriginalStatus is that of the response that was not kept, where it is known.
	OriginalStatus int
	// Err is why, for logs. It isn't shown to the client.
	Err error
}

func (p *Problem) Error() string {
	if p.Err != nil {
		return p.Title + ": " + p.Err.Error()
	}
	return p.Title
}

// Unwrap returns Err.
func (p *Problem) Unwrap() error { return p.Err }

// WriteProblem writes a problem as application/problem+json. It is the default of
// Options.Problem.
func WriteProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	body, err := json.Marshal(struct {
		Type           string `json:"type,omitempty"`
		Title          string `json:"title"`
		Status         int    `json:"status"`
		Detail         string `json:"detail,omitempty"`
		Code           string `json:"code,omitempty"`
		OriginalStatus int    `json:"original_status,omitempty"`
	}{p.Type, p.Title, p.Status, p.Detail, p.Code, p.OriginalStatus})
	if err != nil { // strings and integers always encode
		panic(err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if p.Type != "" {
		header.Add("Link", "<"+p.Type+`>; rel="describedby"`)
	}
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}
