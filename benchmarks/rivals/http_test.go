package rivals

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/benchmarks/internal/clients"
	"github.com/reprise-go/reprise/benchmarks/internal/measure"
	"github.com/reprise-go/reprise/internal/redistest"
)

// newHTTPClient keeps a connection for each goroutine.
func newHTTPClient(tb testing.TB) *http.Client {
	tb.Helper()
	transport := &http.Transport{MaxIdleConns: clients.MaxGoroutines, MaxIdleConnsPerHost: clients.MaxGoroutines}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// post sends a request and checks its response.
func post(ctx context.Context, client *http.Client, url, header, key string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(header, key)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusCreated || !bytes.Equal(body, payload)) {
		return fmt.Errorf("%w: %s, %q", errReply, response.Status, body)
	}
	return err
}

func benchmarkHTTP(b *testing.B, middleware Middleware) {
	server, tap := redistest.Start(b), new(measure.Tap)
	// What the handler does: nothing but to answer, except in http-wait.
	var current atomic.Pointer[func() []byte]
	at := func() []byte { return payload }
	current.Store(&at)
	work := func() []byte { return (*current.Load())() }
	url := middleware.Serve(b, server.Addr(), nil, work)
	onTap := middleware.Serve(b, server.Addr(), tap.Dial, work)
	bare := middleware.Serve(b, "", nil, work)
	client := newHTTPClient(b) // after the servers, which wait for its connections when they stop
	posts := func(name, url string, key func(goroutine int) string) measure.Contender {
		return repeat(name, func(ctx context.Context, g int) error { return post(ctx, client, url, middleware.Header, key(g)) })
	}
	every := func(int) string { return nextKey() }
	b.Run("http-fresh", func(b *testing.B) {
		atEach(b, []int{1, 16, clients.MaxGoroutines}, server, func(b *testing.B, c int) {
			call, tapped := posts("call", url, every), posts("call", onTap, every)
			count(b, call, &tapped, tap)
			measure.Against(b, measure.Options{Goroutines: c, Between: func() { empty(b, server) }}, call, posts("floor", bare, every))
		})
	})
	b.Run("http-replay", func(b *testing.B) {
		atEach(b, []int{1, 16, clients.MaxGoroutines}, server, func(b *testing.B, c int) {
			keys := make([]string, c)
			for g := range keys {
				keys[g] = nextKey()
				if err := post(b.Context(), client, url, middleware.Header, keys[g]); err != nil {
					b.Fatal(err)
				}
			}
			key := func(goroutine int) string { return keys[goroutine] }
			call, tapped := posts("call", url, key), posts("call", onTap, key)
			count(b, call, &tapped, tap)
			measure.Against(b, measure.Options{Goroutines: c}, call, posts("floor", bare, key))
		})
	})
	b.Run("http-wait", func(b *testing.B) {
		for _, n := range callerCounts() {
			b.Run("c="+strconv.Itoa(n), func(b *testing.B) {
				round := func(url string) time.Duration {
					key := nextKey()
					last, err := together(b.Context(), n, func(ctx context.Context, _ int, work func() []byte) error {
						current.CompareAndSwap(&at, &work)
						return post(ctx, client, url, middleware.Header, key)
					})
					current.Store(&at)
					if err != nil {
						b.Fatal(err)
					}
					return last
				}
				reportWait(b, func() time.Duration { return round(url) }, tap, func() { round(onTap) })
			})
		}
	})
}

// A request with a key that was used gets the first one's response, and requests
// at the same time run the handler once.
func TestMiddlewares(t *testing.T) {
	for _, middleware := range Middlewares {
		t.Run(middleware.Name, func(t *testing.T) {
			running, end := make(chan struct{}), make(chan struct{})
			var runs atomic.Int64
			url := middleware.Serve(t, redistest.Start(t).Addr(), nil, func() []byte {
				if runs.Add(1) == 1 {
					close(running)
				}
				<-end
				return payload
			})
			client, key := newHTTPClient(t), nextKey()
			var group, begun sync.WaitGroup
			send := func() {
				if err := post(t.Context(), client, url, middleware.Header, key); err != nil {
					t.Error(err)
				}
			}
			group.Go(send)
			<-running
			for range 8 {
				begun.Add(1)
				group.Go(func() {
					begun.Done()
					send()
				})
			}
			begun.Wait()
			close(end)
			group.Wait()
			send()
			if n := runs.Load(); n != 1 {
				t.Errorf("ran %d times", n)
			}
			key = nextKey()
			send()
			if n := runs.Load(); n != 2 {
				t.Errorf("another key: ran %d times in all, want 2", n)
			}
		})
	}
}
