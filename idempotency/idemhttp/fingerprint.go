package idemhttp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/http"
)

// fingerprintVersion comes first, so that a later computation never meets this
// one's values.
const fingerprintVersion = "idemhttp/1"

// fingerprint is a hash of what makes two requests the same. Every part has its
// length before it, so that no byte can move from one part to the next.
func (m *middleware) fingerprint(r *http.Request, body []byte) []byte {
	var h hash.Hash
	if len(m.FingerprintSecret) > 0 {
		h = hmac.New(sha256.New, m.FingerprintSecret)
	} else {
		h = sha256.New()
	}
	part := make([]byte, 0, 256)
	add := func(s string) { part = append(binary.AppendUvarint(part, uint64(len(s))), s...) }
	add(fingerprintVersion)
	add(r.Method)
	add(r.URL.EscapedPath())
	add(r.URL.RawQuery)
	part = binary.AppendUvarint(part, uint64(len(m.FingerprintHeaders)))
	for _, name := range m.FingerprintHeaders {
		add(name)
		if name == "Host" {
			add(r.Host)
			continue
		}
		values := r.Header[name]
		part = binary.AppendUvarint(part, uint64(len(values)))
		for _, value := range values {
			add(value)
		}
	}
	// The body is the rest.
	h.Write(part)
	h.Write(body)
	return h.Sum(nil)
}
