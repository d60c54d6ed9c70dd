package idemhttp

import (
	"encoding/hex"
	"net/http/httptest"
	"testing"
)

// Fingerprints are in stores: after a change of the computation every retry of an
// older request would get 422.
func TestFingerprintIsStable(t *testing.T) {
	r := httptest.NewRequest("POST", "http://example.com/a%2Fb?x=1&x=2", nil)
	r.Header["Content-Type"] = []string{"application/json"}
	r.Header["Accept"] = []string{"a", "b"}
	for _, test := range []struct {
		m    middleware
		want string
	}{
		{middleware{}, "972e39d78ff6803d9eb1b5b0bff8b29834091dfb4dea2910b08ed857125b2ab1"},
		{middleware{Options: Options{FingerprintHeaders: []string{"Accept", "Content-Type", "Host", "Missing"}}}, "3547af977852f77c8b601f892b210c305cda6d41a3f8232b20c015af961f2310"},
		{middleware{Options: Options{FingerprintSecret: []byte("secret")}}, "9f629e4e5f4f67f5a4f71b7f8aecfe8a2e2e0df4d634a4d8178e6d82830d4448"},
	} {
		if got := hex.EncodeToString(test.m.fingerprint(r, []byte(`{"id":1}`))); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
