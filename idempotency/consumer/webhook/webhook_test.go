package webhook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/idempotency/consumer/webhook"
)

// Computed by another program:
//
//	printf '%s' '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
const (
	stripeBody = `{"id":"evt_1"}`
	stripeMAC  = "c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925"
)

func TestStripe(t *testing.T) {
	at := time.Unix(1700000000, 0)
	other := strings.Repeat("ab", 32)
	for name, test := range map[string]struct {
		header  string
		body    string
		now     time.Time
		secrets []string
		want    error
	}{
		"right":                     {"t=1700000000,v1=" + stripeMAC, stripeBody, at, nil, nil},
		"upper case":                {"t=1700000000,v1=" + strings.ToUpper(stripeMAC), stripeBody, at, nil, nil},
		"with spaces":               {"t=1700000000, v1=" + stripeMAC, stripeBody, at, nil, nil},
		"several, the last":         {"t=1700000000,v1=" + other + ",v1=" + stripeMAC, stripeBody, at, nil, nil},
		"several, the first":        {"t=1700000000,v1=" + stripeMAC + ",v1=" + other + ",v0=" + other, stripeBody, at, nil, nil},
		"v1 before t":               {"v1=" + stripeMAC + ",t=1700000000", stripeBody, at, nil, nil},
		"the second secret":         {"t=1700000000,v1=" + stripeMAC, stripeBody, at, []string{"old", "whsec_test"}, nil},
		"at the end of tolerance":   {"t=1700000000,v1=" + stripeMAC, stripeBody, at.Add(5 * time.Minute), nil, nil},
		"too old":                   {"t=1700000000,v1=" + stripeMAC, stripeBody, at.Add(5*time.Minute + 1), nil, webhook.ErrTimestamp},
		"from the future":           {"t=1700000000,v1=" + stripeMAC, stripeBody, at.Add(-6 * time.Minute), nil, webhook.ErrTimestamp},
		"another time":              {"t=1700000001,v1=" + stripeMAC, stripeBody, at, nil, webhook.ErrSignature},
		"the time written longer":   {"t=01700000000,v1=" + stripeMAC, stripeBody, at, nil, webhook.ErrSignature},
		"another body":              {"t=1700000000,v1=" + stripeMAC, stripeBody + " ", at, nil, webhook.ErrSignature},
		"another secret":            {"t=1700000000,v1=" + stripeMAC, stripeBody, at, []string{"whsec_other"}, webhook.ErrSignature},
		"another signature":         {"t=1700000000,v1=" + other, stripeBody, at, nil, webhook.ErrSignature},
		"only v0":                   {"t=1700000000,v0=" + stripeMAC, stripeBody, at, nil, webhook.ErrNoSignature},
		"cut":                       {"t=1700000000,v1=" + stripeMAC[:62], stripeBody, at, nil, webhook.ErrNoSignature},
		"no hex":                    {"t=1700000000,v1=" + strings.Repeat("x", 64), stripeBody, at, nil, webhook.ErrNoSignature},
		"no time":                   {"v1=" + stripeMAC, stripeBody, at, nil, webhook.ErrNoSignature},
		"two times":                 {"t=1700000000,t=1700000001,v1=" + stripeMAC, stripeBody, at, nil, webhook.ErrNoSignature},
		"empty":                     {"", stripeBody, at, nil, webhook.ErrNoSignature},
		"an empty secret":           {"t=1700000000,v1=" + stripeMAC, stripeBody, at, []string{""}, webhook.ErrNoSecret},
		"an empty secret among two": {"t=1700000000,v1=" + stripeMAC, stripeBody, at, []string{"whsec_test", ""}, webhook.ErrNoSecret},
	} {
		if test.secrets == nil {
			test.secrets = []string{"whsec_test"}
		}
		if err := webhook.Stripe(test.header, []byte(test.body), test.now, 0, test.secrets...); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	header := "t=1700000000,v1=" + stripeMAC
	if got := webhook.SignStripe([]byte(stripeBody), at, "whsec_test"); got != header {
		t.Errorf("signed %s", got)
	}
	if err := webhook.Stripe(header, []byte(stripeBody), at, 0); !errors.Is(err, webhook.ErrNoSecret) {
		t.Error(err)
	}
	if err := webhook.Stripe(header, []byte(stripeBody), at, -1, "whsec_test"); err == nil {
		t.Error("a negative tolerance was taken")
	}
	if err := webhook.Stripe(header, []byte(stripeBody), at.Add(time.Hour), 2*time.Hour, "whsec_test"); err != nil {
		t.Error(err)
	}
}

// The example of GitHub's documentation.
func TestGitHub(t *testing.T) {
	const (
		secret = "It's a Secret to Everybody"
		body   = "Hello, World!"
		header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	)
	for _, test := range []struct {
		header, body, secret string
		want                 error
	}{
		{header, body, secret, nil},
		{header, body + "\n", secret, webhook.ErrSignature},
		{header, body, "another", webhook.ErrSignature},
		{strings.Replace(header, "7571", "7572", 1), body, secret, webhook.ErrSignature},
		{strings.TrimPrefix(header, "sha256="), body, secret, webhook.ErrNoSignature},
		{strings.Replace(header, "sha256", "sha1", 1), body, secret, webhook.ErrNoSignature},
		{header[:40], body, secret, webhook.ErrNoSignature},
		{"", body, secret, webhook.ErrNoSignature},
		{header, body, "", webhook.ErrNoSecret},
	} {
		if err := webhook.GitHub(test.header, []byte(test.body), test.secret); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s %q: %v, want %v", test.header, test.body, err, test.want)
		}
	}
	if err := webhook.GitHub(header, []byte(body), "old", secret); err != nil {
		t.Error(err)
	}
	if got := webhook.SignGitHub([]byte(body), secret); got != header {
		t.Error(got)
	}
}

func ExampleStripe() {
	body, at := []byte(`{"id": "evt_1"}`), time.Now()
	header := webhook.SignStripe(body, at, "whsec_1")
	fmt.Println(webhook.Stripe(header, body, at, 0, "whsec_1"))
	fmt.Println(webhook.Stripe(header, body, at, 0, "whsec_2"))
	// Output:
	// <nil>
	// webhook: the signature doesn't match
}

// Nobody who doesn't know the secret gets through, and nothing panics.
func FuzzStripe(f *testing.F) {
	f.Add("t=1700000000,v1="+stripeMAC, stripeBody)
	f.Add("t=,v1=,=,", "")
	f.Fuzz(func(t *testing.T, header, body string) {
		if err := webhook.Stripe(header, []byte(body), time.Unix(1700000000, 0), 0, "a secret of nobody"); err == nil {
			t.Errorf("%q was taken", header)
		}
	})
}
