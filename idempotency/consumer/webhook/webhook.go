package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Errors of the checks, for errors.Is. None of them tells how far a signature was
// right.
var (
	// ErrNoSignature: the header is missing, or holds no signature of the kind that
	// is checked.
	ErrNoSignature = errors.New("webhook: no signature")
	// ErrSignature: no signature matches the body and one of the secrets.
	ErrSignature = errors.New("webhook: the signature doesn't match")
	// ErrTimestamp: the signature is right, but too old, or from the future.
	ErrTimestamp = errors.New("webhook: the signature's time is out of tolerance")
	// ErrNoSecret: there is no secret to check with, or an empty one.
	ErrNoSecret = errors.New("webhook: no secret")
)

// DefaultTolerance is how old a signature of Stripe's may be, as in Stripe's own
// libraries.
const DefaultTolerance = 5 * time.Minute

// Stripe checks the Stripe-Signature header of a request with this body, as
// docs.stripe.com/webhooks describes it: "t=" and a Unix time, and one or more
// "v1=" with the HMAC-SHA256, in hex, of the time, a dot and the body. Other
// schemes in it are ignored, v0 among them, which is for tests. It is enough that
// one of the v1 matches one of the secrets: while a secret is being replaced
// Stripe signs with both, and while an endpoint is being moved the receiver knows
// both. Now is the time, usually time.Now(); tolerance bounds how far the
// signature's time may be from it, in both directions; zero is
// [DefaultTolerance]. There is no way to switch it off: without it whoever once
// saw a request can send it again for ever.
func Stripe(header string, body []byte, now time.Time, tolerance time.Duration, secrets ...string) error {
	if tolerance < 0 {
		return fmt.Errorf("webhook: tolerance is %v", tolerance)
	}
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	var stamp string
	var signatures [][]byte
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			if stamp != "" {
				return ErrNoSignature // which of them was signed?
			}
			stamp = value
		case "v1":
			if signature, err := hex.DecodeString(value); err == nil && len(signature) == sha256.Size {
				signatures = append(signatures, signature)
			}
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(signatures) == 0 {
		return ErrNoSignature
	}
	if err := match(signatures, secrets, []byte(stamp+"."), body); err != nil {
		return err
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrTimestamp
	}
	return nil
}

// GitHub checks the X-Hub-Signature-256 header of a request with this body, as
// docs.github.com/webhooks describes it: "sha256=" and the HMAC-SHA256 of the body
// in hex. It is enough that one of the secrets matches, while they are being
// replaced. It carries no time.
func GitHub(header string, body []byte, secrets ...string) error {
	value, ok := strings.CutPrefix(strings.TrimSpace(header), "sha256=")
	signature, err := hex.DecodeString(value)
	if !ok || err != nil || len(signature) != sha256.Size {
		return ErrNoSignature
	}
	return match([][]byte{signature}, secrets, nil, body)
}

// SignStripe makes the header that [Stripe] checks: for tests and for programs
// that play Stripe.
func SignStripe(body []byte, at time.Time, secret string) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(sum(secret, []byte(stamp+"."), body))
}

// SignGitHub makes the header that [GitHub] checks.
func SignGitHub(body []byte, secret string) string {
	return "sha256=" + hex.EncodeToString(sum(secret, nil, body))
}

// match compares in constant time, and all with all: how long it takes tells
// nothing of which one was right.
func match(signatures [][]byte, secrets []string, prefix, body []byte) error {
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	matched := false
	for _, secret := range secrets {
		if secret == "" { // everybody can sign with that
			return ErrNoSecret
		}
		want := sum(secret, prefix, body)
		for _, signature := range signatures {
			matched = hmac.Equal(want, signature) || matched
		}
	}
	if !matched {
		return ErrSignature
	}
	return nil
}

func sum(secret string, prefix, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(prefix)
	mac.Write(body)
	return mac.Sum(nil)
}
