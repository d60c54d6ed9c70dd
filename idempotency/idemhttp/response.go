package idemhttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Response is what is recorded of a handler's response, and what an
// Options.Reconcile function answers with.
type Response struct {
	// Status is 200 to 999; zero where the handler took over its connection
	// (Hijack).
	Status int
	// Header holds what the handler set and Options.ResponseHeaders allows. What is
	// never recorded isn't replayed either.
	Header http.Header
	// Body is the whole body; nil where it could not be kept.
	Body []byte
	// Trailer holds the trailers.
	Trailer http.Header

	// notKept says why the response isn't recorded; empty where it is.
	notKept string
}

// DefaultResponseHeaders returns the headers that are recorded by default: those
// that describe the body or the resource, and those that are part of a status'
// meaning.
func DefaultResponseHeaders() []string {
	return []string{
		"Accept-Patch", "Accept-Post", "Accept-Ranges", "Allow", "Cache-Control", "Content-Disposition", "Content-Encoding",
		"Content-Language", "Content-Location", "Content-Range", "Content-Type", "Deprecation", "Digest", "Etag",
		"Content-Digest", "Repr-Digest", "Expires", "Last-Modified", "Link", "Location", "Operation-Location",
		"Preference-Applied", "Refresh", "Retry-After", "Sunset", "Vary", "Www-Authenticate", "X-Content-Type-Options",
	}
}

// never lists what isn't recorded, whatever is allowed: what belongs to one client
// or one connection, and what is made anew for each response.
var never = map[string]bool{
	"Set-Cookie": true, "Set-Cookie2": true, "Clear-Site-Data": true,
	"Authorization": true, "Authentication-Info": true,
	"Proxy-Authorization": true, "Proxy-Authenticate": true, "Proxy-Authentication-Info": true,
	// Hop-by-hop: RFC 9110, section 7.6.1.
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Http2-Settings": true,
	"Date": true, "Age": true, "Content-Length": true, "Alt-Svc": true,
}

func neverRecorded(name string) bool { return never[name] }

// allows tells whether a header is recorded.
func (m *middleware) allows(name string) bool {
	if neverRecorded(name) || name == m.ReplayedHeader || name == m.UnprotectedHeader || strings.HasPrefix(name, http.TrailerPrefix) {
		return false
	}
	if m.allowed[name] || name == "Content-Type" || name == "Content-Encoding" {
		return true
	}
	for _, prefix := range m.allowedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// kept returns the headers that are recorded of those that were sent: what is
// allowed, and wasn't there before the handler was called.
func (m *middleware) kept(sent, before http.Header) http.Header {
	var kept http.Header
	connection := sent["Connection"]
	for name, values := range sent {
		if len(values) == 0 || !m.allows(name) || names(connection, name) || slices.Equal(before[name], values) {
			continue
		}
		if kept == nil {
			kept = make(http.Header, len(sent))
		}
		kept[name] = values
	}
	return kept
}

// keptTrailer returns the trailers that are recorded.
func (m *middleware) keptTrailer(sent http.Header) http.Header {
	for name := range sent {
		if neverRecorded(name) {
			kept := maps.Clone(sent)
			maps.DeleteFunc(kept, func(name string, _ []string) bool { return neverRecorded(name) })
			return kept
		}
	}
	return sent
}

// names tells whether a Connection header names another one, which makes that
// one hop-by-hop.
func names(connection []string, name string) bool {
	for _, value := range connection {
		for option := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(option), name) {
				return true
			}
		}
	}
	return false
}

// bodyAllowed: RFC 9110, section 6.4.1.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// replay writes a recorded response, its body in one Write.
func (m *middleware) replay(w http.ResponseWriter, r *http.Request, response *Response, unprotected bool) {
	header := w.Header()
	for name, values := range response.Header {
		// A Reconcile function may have made it, or whoever can write to the store.
		name = http.CanonicalHeaderKey(name)
		if !neverRecorded(name) || name == "Content-Length" && len(response.Body) == 0 {
			header[name] = slices.Clone(values)
		}
	}
	header[m.ReplayedHeader] = []string{"true"}
	if unprotected {
		header[m.UnprotectedHeader] = []string{"true"}
	}
	deliver(w, r, response.Status, response.Body, m.keptTrailer(response.Trailer))
}
