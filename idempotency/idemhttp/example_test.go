package idemhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

type accountKey struct{}

// authenticated stands for the middleware that knows who a request comes from.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, "acct_1")))
	})
}

func Example() {
	store := memory.New()
	defer store.Close()
	executor, err := idempotency.New(store, idempotency.Options{Namespace: "api"})
	if err != nil {
		panic(err)
	}
	protect, err := idemhttp.New(executor, idemhttp.Options{
		Required: true,
		Scope: func(r *http.Request) (string, error) {
			account, ok := r.Context().Value(accountKey{}).(string)
			if !ok {
				return "", errors.New("no account")
			}
			return account, nil
		},
	})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /payments", protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		execution, _ := idempotency.ExecutionOf(r.Context())
		fmt.Println("charging, attempt", execution.Attempt)
		w.Header().Set("Location", "/payments/1")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "paid\n")
	})))
	server := httptest.NewServer(authenticated(mux))
	defer server.Close()
	for range 2 {
		request, _ := http.NewRequest("POST", server.URL+"/payments", strings.NewReader(`{"amount": 1200}`))
		request.Header.Set("Idempotency-Key", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`)
		response, err := server.Client().Do(request)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Printf("%s %s replayed=%q\n%s", response.Status, response.Header.Get("Location"), response.Header.Get("Idempotency-Replayed"), body)
	}
	// Output:
	// charging, attempt 1
	// 201 Created /payments/1 replayed=""
	// paid
	// 201 Created /payments/1 replayed="true"
	// paid
}
