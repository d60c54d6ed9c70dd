package idemclient_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/reprise-go/reprise/idempotency/idemclient"
)

func Example() {
	tries := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			panic(http.ErrAbortHandler) // the connection is cut: no answer
		}
		_, _ = io.WriteString(w, "paid "+r.Header.Get("Idempotency-Key"))
	}))
	defer server.Close()

	transport, err := idemclient.New(http.DefaultTransport, idemclient.Options{
		MinBackoff: 10 * time.Millisecond,
		OnRetry:    func(_ context.Context, retry idemclient.Retry) { fmt.Println("try", retry.Attempt, "failed") },
	})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	ctx := idemclient.WithKey(context.Background(), "order-7") // without it: a new UUID
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("order"))
	if err != nil {
		panic(err)
	}
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	sent, _ := idemclient.SentOf(response)
	fmt.Println(string(body), "after", sent.Attempts, "tries")
	// Output:
	// try 1 failed
	// paid "order-7" after 2 tries
}
