package idemclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultRetry is what Options.Retry is by default: the table in the package's
// documentation.
func DefaultRetry(response *http.Response, err error) bool {
	if err != nil {
		return !hopeless(err)
	}
	// A recorded answer stays what it is, however often it is asked for. The second
	// one is Stripe's header.
	for _, header := range []string{"Idempotency-Replayed", "Idempotent-Replayed"} {
		if strings.EqualFold(response.Header.Get(header), "true") {
			return false
		}
	}
	switch response.StatusCode {
	case http.StatusConflict:
		// The first request is still in flight, if the server says when to come
		// back. Without that it is a conflict of the application's.
		_, given := retryAfter(response, time.Now())
		return given
	case http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// hopeless tells errors that the next try would meet again.
func hopeless(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		invalid      x509.CertificateInvalidError
		hostname     x509.HostnameError
		record       tls.RecordHeaderError
		alert        tls.AlertError
		lookup       *net.DNSError
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &invalid),
		errors.As(err, &hostname), errors.As(err, &record), errors.As(err, &alert),
		errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, context.Canceled):
		return true
	case errors.As(err, &lookup):
		return lookup.IsNotFound && !lookup.IsTemporary
	}
	// What net/http says of requests that it doesn't send has no type.
	text := err.Error()
	return strings.HasPrefix(text, "net/http: invalid ") || strings.Contains(text, "unsupported protocol scheme")
}

// retryAfter is how long a response asks to wait (RFC 9110, section 10.2.3), in
// seconds or as a date; that is compared with the server's own Date where there
// is one, so that a client whose clock is wrong waits no longer.
func retryAfter(response *http.Response, now time.Time) (time.Duration, bool) {
	value := strings.TrimSpace(response.Header.Get("Retry-After"))
	if value == "" {
		return 0, false
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil { // more than 68 years
			return 1<<63 - 1, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0), true
}
