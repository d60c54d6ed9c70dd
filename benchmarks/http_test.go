package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// BenchmarkHTTP is a POST of 128 bytes that is answered with 128, through the
// middleware, against the handler alone. There is no network between client and
// handler; on goredis there is one to the store.
func BenchmarkHTTP(b *testing.B) {
	payload := payloadOf(128)
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(payload)
	})
	onEach(b, func(b *testing.B, open func(tb testing.TB) opened) {
		for _, what := range []string{"fresh", "replay"} {
			b.Run(what, func(b *testing.B) {
				o := open(b)
				options := idempotency.Options{}
				if what == "fresh" {
					options.Retention, options.Lease = time.Second, time.Second
				}
				protect, err := idemhttp.New(newExecutor(b, o.store, options), idemhttp.Options{Scope: idemhttp.Global})
				if err != nil {
					b.Fatal(err)
				}
				completed := nextKey('q')
				call := posts("call", protect(handler), func() string {
					if what == "fresh" {
						return nextKey('q')
					}
					return completed
				})
				if err := call.Run(b.Context(), 0, 1); err != nil {
					b.Fatal(err)
				}
				reportAllocs(b, call)
				between := o.between
				if what == "replay" {
					between = nil
				}
				measure.Against(b, measure.Options{Between: between}, call, posts("handler", handler, func() string { return completed }))
			})
		}
	})
}

// posts are requests to a handler.
func posts(name string, handler http.Handler, key func() string) measure.Contender {
	body := payloadOf(128)
	return repeat(name, func(ctx context.Context) error {
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/payments", bytes.NewReader(body))
		request.Header.Set("Idempotency-Key", key())
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		if response.Code != http.StatusCreated || response.Body.Len() != 128 {
			return fmt.Errorf("%w: status %d, %d bytes", errReply, response.Code, response.Body.Len())
		}
		return nil
	})
}
