package idemhttp_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// discard is a server's writer without a server.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// costs are the handlers whose costs are compared: bare, and behind the
// middleware on the memory store.
func costs(tb testing.TB) (bare, protected http.Handler, serve func(handler http.Handler, key string)) {
	payload := strings.Repeat("x", 128)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, payload)
	})
	x := newExecutor(tb, newStore(tb), idempotency.Options{})
	return handler, newMiddleware(tb, x, idemhttp.Options{})(handler), func(handler http.Handler, key string) {
		r, _ := http.NewRequestWithContext(tb.Context(), "POST", "http://x/payments", strings.NewReader(payload))
		r.Header.Set("Idempotency-Key", key)
		handler.ServeHTTP(&discard{http.Header{}}, r)
	}
}

const sameKey = "0f8fad5b-d9cb-469f-a165-70867728950e"

// BenchmarkOverhead is what the middleware costs beside the bare handler: for a
// request that executes, and for a replay.
func BenchmarkOverhead(b *testing.B) {
	bare, protected, serve := costs(b)
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			serve(bare, sameKey)
		}
	})
	n := 0
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n++
			serve(protected, sameKey+strconv.Itoa(n))
		}
	})
	b.Run("replay", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			serve(protected, sameKey)
		}
	})
}

// The executor's own allocations and the memory store's are in these counts.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bare, protected, serve := costs(t)
	n := 0
	without := testing.AllocsPerRun(500, func() { serve(bare, sameKey) })
	fresh := testing.AllocsPerRun(500, func() { n++; serve(protected, sameKey+strconv.Itoa(n)) }) - without
	replay := testing.AllocsPerRun(500, func() { serve(protected, sameKey) }) - without
	t.Logf("fresh +%v, replay +%v", fresh, replay)
	if fresh > 46 || replay > 26 {
		t.Errorf("fresh +%v, replay +%v allocations, want at most +46 and +26", fresh, replay)
	}
}
