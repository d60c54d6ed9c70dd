package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
)

// The card network can't be reached for a while: nobody knows whether it booked.
// The answer says so, isn't kept, and the retry finds out.
func TestUnknownOutcomeIsReconciled(t *testing.T) {
	for name, books := range map[string]bool{"booked": true, "not booked": false} {
		t.Run(name, func(t *testing.T) {
			l := newLedger(func(account) {})
			booked, err := l.book(Booking{Order: &OrderRequest{Amount: 4200, Currency: "usd"}})
			if err != nil {
				t.Fatal(err)
			}
			inner := (&network{ledger: l, link: &link{}, booked: func(int) {}}).handler()
			var down atomic.Bool
			outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !down.Load() {
					inner.ServeHTTP(w, r)
					return
				}
				if books && r.Method == http.MethodPost {
					inner.ServeHTTP(httptest.NewRecorder(), r)
				}
				panic(http.ErrAbortHandler)
			}))
			defer outside.Close()
			store := memory.New()
			defer store.Close()
			reports := newReporter(io.Discard)
			executor, err := idempotency.New(store, idempotency.Options{Observer: reports})
			if err != nil {
				t.Fatal(err)
			}
			handler, err := newHandler(executor, newGateway(outside.URL, 1), reports)
			if err != nil {
				t.Fatal(err)
			}
			post := func() *httptest.ResponseRecorder {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/payments", strings.NewReader(paymentOf(booked.Order.ID, 4200, "tok_visa")))
				r.Header.Set(keyHeader, "key")
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				return w
			}
			charges := func() int {
				l.mu.Lock()
				defer l.mu.Unlock()
				return l.account(l.orders[booked.Order.ID]).Charges
			}
			down.Store(true)
			if w := post(); w.Code != http.StatusGatewayTimeout || w.Header().Get("Retry-After") == "" {
				t.Errorf("nobody knows: %d %v %s", w.Code, w.Header(), w.Body)
			}
			// Now Reconcile can't reach it either: nothing runs.
			if w := post(); w.Code < 500 || charges() > 1 {
				t.Errorf("still nobody knows: %d %s, %d charges", w.Code, w.Body, charges())
			}
			down.Store(false)
			w := post()
			if w.Code != http.StatusOK || charges() != 1 {
				t.Errorf("after it came back: %d %s, %d charges", w.Code, w.Body, charges())
			}
			if replayed := w.Header().Get("Idempotency-Replayed") == "true"; replayed != books {
				t.Errorf("replayed: %v", replayed)
			}
			if again := post(); again.Body.String() != w.Body.String() {
				t.Errorf("two answers: %s and %s", w.Body, again.Body)
			}
		})
	}
}
