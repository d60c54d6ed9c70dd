package idemhttp_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// discard is a server's writer without a server.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkOverhead is what the middleware costs on the memory store, beside the
// bare handler: for a request that executes, and for a replay.
func BenchmarkOverhead(b *testing.B) {
	payload := strings.Repeat("x", 128)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, payload)
	})
	run := func(name string, handler http.Handler, key func(i int) string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, _ := http.NewRequestWithContext(b.Context(), "POST", "http://x/payments", strings.NewReader(payload))
				r.Header.Set("Idempotency-Key", key(i))
				handler.ServeHTTP(&discard{http.Header{}}, r)
			}
		})
	}
	store := memory.New()
	defer store.Close()
	x := newExecutor(b, store, idempotency.Options{})
	protected := newMiddleware(b, x, idemhttp.Options{})(handler)
	same := func(int) string { return "0f8fad5b-d9cb-469f-a165-70867728950e" }
	n := 0
	fresh := func(int) string { n++; return same(0) + strconv.Itoa(n) }
	run("bare", handler, same)
	run("fresh", protected, fresh)
	run("replay", protected, same)
}
