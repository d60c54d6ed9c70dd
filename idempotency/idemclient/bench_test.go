package idemclient_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/idempotency/idemclient"
)

type answering struct{}

func (answering) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close()
	return &http.Response{StatusCode: 200, ContentLength: 2, Body: io.NopCloser(strings.NewReader("ok")), Request: req}, nil
}

// What the transport costs beside the network: one request that is answered at
// once.
func BenchmarkRoundTrip(b *testing.B) {
	transport, err := idemclient.New(answering{}, idemclient.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for name, rt := range map[string]http.RoundTripper{"bare": answering{}, "idemclient": transport} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req, _ := http.NewRequest(http.MethodPost, "http://shop.invalid/", strings.NewReader("order"))
				response, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
}
