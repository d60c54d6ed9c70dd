package idemclient

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// MaxKey is the length of the longest key in bytes, as at Stripe.
const MaxKey = 255

type ctxKey struct{}

// WithKey gives the request that is made with ctx this key: one that outlives the
// process, for example, because it stands beside the order that is to be paid. It
// holds for every method but GET, HEAD, OPTIONS and TRACE. A header that the
// request already has goes before. Use ctx for that one request: another action
// needs another key. A key that isn't 1 to [MaxKey] printable ASCII bytes is an
// error of the request.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, ctxKey{}, key)
}

// keyOf is the value of the header that a request is to be sent with, and the key
// in it. The header is nil where the request has it already, or gets none; keyed
// says whether it has one then.
func (t *Transport) keyOf(req *http.Request) (header []string, key string, keyed bool, err error) {
	if values, ok := req.Header[t.options.Header]; ok {
		// An entry without values is how net/http says that a request is idempotent
		// without a key.
		return nil, strings.Join(values, ", "), true, nil
	}
	key, given := req.Context().Value(ctxKey{}).(string)
	listed := slices.Contains(t.options.Methods, method(req))
	switch {
	case given && (listed || !safe(req.Method)):
	case !listed:
		return nil, "", false, nil
	default:
		if before := redirectedFrom(req); before != nil {
			if values, ok := before.Header[t.options.Header]; ok {
				sent, _ := before.Context().Value(sentKey{}).(*Sent)
				if sent != nil {
					key = sent.Key
				}
				return values, key, true, nil
			}
		}
		key = t.options.NewKey()
	}
	value, err := t.encode(key)
	if err != nil {
		return nil, "", false, err
	}
	return []string{value}, key, true, nil
}

// redirectedFrom is the request whose answer made http.Client send this one.
func redirectedFrom(req *http.Request) *http.Request {
	if req.Response == nil {
		return nil
	}
	return req.Response.Request
}

// encode makes the header's value of a key.
func (t *Transport) encode(key string) (string, error) {
	if key == "" || len(key) > MaxKey {
		return "", fmt.Errorf("idemclient: a key of %d bytes, want 1 to %d", len(key), MaxKey)
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return "", fmt.Errorf("idemclient: a key with the byte %#02x at %d, want printable ASCII", key[i], i)
		}
	}
	if !t.options.Raw {
		if strings.ContainsAny(key, `"\`) {
			key = escape.Replace(key)
		}
		return `"` + key + `"`, nil
	}
	// As they are, these would reach the server as another key.
	if strings.Trim(key, " ") != key || key[0] == '"' {
		return "", fmt.Errorf("idemclient: a raw key that begins with a quote, or begins or ends with a space")
	}
	return key, nil
}

// escape is how a structured-field string has a quote and a backslash.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// newUUID makes a random UUID (RFC 9562, section 5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func method(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func idempotent(method string) bool {
	return safe(method) || method == http.MethodPut || method == http.MethodDelete
}

// isToken tells a token of RFC 9110, section 5.6.2: a method, a header's name.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
