package idemclient_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
	"github.com/reprise-go/reprise/idempotency/idemclient"
	"github.com/reprise-go/reprise/idempotency/idemhttp"
)

// shop counts what it was asked to do, and is protected by package idemhttp: two
// instances on one store.
type shop struct {
	mu     sync.Mutex
	orders map[string]int
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.orders[string(body)]++
	n := len(s.orders)
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "%s is order %d", body, n)
}

func (s *shop) counted(order string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orders[order]
}

func serveShop(t *testing.T, options idemhttp.Options) (*shop, []*httptest.Server) {
	t.Helper()
	s := &shop{orders: map[string]int{}}
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	options.Scope = idemhttp.Global
	options.Required = true
	var servers []*httptest.Server
	for range 2 {
		// The lease is what a 409 tells its client to wait for.
		x, err := idempotency.New(store, idempotency.Options{Lease: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		protect, err := idemhttp.New(x, options)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(protect(s))
		t.Cleanup(func() {
			server.Close()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := x.Drain(ctx); err != nil {
				t.Error(err)
			}
		})
		servers = append(servers, server)
	}
	return s, servers
}

func proxy(t *testing.T, server *httptest.Server, pick func([]byte) faults.Action) *faults.Proxy {
	t.Helper()
	p, err := faults.NewProxy(server.Listener.Addr().String(), faults.ProxyOptions{Pick: pick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// Each fault on the way, once, between the client and the middleware: one effect.
func TestLossyNetwork(t *testing.T) {
	for name, fault := range map[string]faults.Action{
		"never arrives": faults.CutBefore, "answer lost": faults.CutReply, "swallowed": faults.Blackhole,
		"arrives late": faults.Late(0), "answer too late": faults.DelayReply(10 * time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			s, servers := serveShop(t, idemhttp.Options{})
			way := proxy(t, servers[0], nil)
			way.OnNth(nil, 1, fault)
			options := quick()
			options.AttemptTimeout = 200 * time.Millisecond
			client := newClient(t, options)
			response, err := client.Do(newRequest(t, "POST", "http://"+way.Addr(), "tea"))
			if err != nil {
				t.Fatal(err)
			}
			body := read(t, response)
			way.DeliverLate()
			if sent, _ := idemclient.SentOf(response); sent.Attempts != 2 || response.StatusCode != 201 || body != "tea is order 1" {
				t.Errorf("%d %q after %d tries", response.StatusCode, body, sent.Attempts)
			}
			if n := s.counted("tea"); n != 1 {
				t.Errorf("ordered %d times", n)
			}
		})
	}
}

// Many clients, two instances, every request may be cut: each order is made once,
// and its client is told so.
func TestLossyNetworkSoak(t *testing.T) {
	s, servers := serveShop(t, idemhttp.Options{NoWait: true})
	var ways []*faults.Proxy
	for _, server := range servers {
		ways = append(ways, proxy(t, server, func([]byte) faults.Action {
			switch rand.N(6) {
			case 0:
				return faults.CutBefore
			case 1, 2:
				return faults.CutReply
			case 3:
				return faults.Late(time.Duration(rand.N(20)) * time.Millisecond)
			}
			return faults.Pass
		}))
	}
	options := quick()
	options.MaxAttempts = 200
	retries := 0
	var mu sync.Mutex
	options.OnRetry = func(_ context.Context, r idemclient.Retry) {
		mu.Lock()
		defer mu.Unlock()
		retries++
	}
	var wg sync.WaitGroup
	for c := range 8 {
		base := &http.Transport{}
		transport, err := idemclient.New(balancer{base, ways}, options)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: transport}
		t.Cleanup(base.CloseIdleConnections)
		wg.Go(func() {
			for i := range 12 {
				order := fmt.Sprintf("order %d of %d", i, c)
				response, err := client.Post("http://shop.invalid/", "text/plain", strings.NewReader(order))
				if err != nil {
					t.Error(err)
					return
				}
				if body := read(t, response); response.StatusCode != 201 || !strings.HasPrefix(body, order+" is order") {
					t.Errorf("%d %q", response.StatusCode, body)
				}
				if n := s.counted(order); n != 1 {
					t.Errorf("%s was made %d times", order, n)
				}
			}
		})
	}
	wg.Wait()
	for _, way := range ways {
		way.DeliverLate()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for order, n := range s.orders {
		if n != 1 {
			t.Errorf("%s was made %d times", order, n)
		}
	}
	if len(s.orders) != 96 || retries == 0 {
		t.Errorf("%d orders, %d retries", len(s.orders), retries)
	}
}

// balancer sends each try to one of several instances, as a load balancer does.
type balancer struct {
	base *http.Transport
	ways []*faults.Proxy
}

func (b balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = b.ways[rand.N(len(b.ways))].Addr()
	return b.base.RoundTrip(req)
}

// A middleware that doesn't wait answers 409 with Retry-After, which is followed.
func TestInFlightElsewhere(t *testing.T) {
	release := make(chan struct{})
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	x, err := idempotency.New(store, idempotency.Options{Lease: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	protect, err := idemhttp.New(x, idemhttp.Options{Scope: idemhttp.Global, NoWait: true})
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	var runs int
	server := httptest.NewServer(protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs++
		close(started)
		<-release
		_, _ = io.WriteString(w, "once")
	})))
	t.Cleanup(server.Close)
	options := quick()
	var statuses []int
	options.OnRetry = func(_ context.Context, r idemclient.Retry) {
		if statuses = append(statuses, r.Status); len(statuses) == 1 {
			close(release)
		}
	}
	ctx := idemclient.WithKey(t.Context(), "order-7")
	first := make(chan string)
	waiting, request := newClient(t, quick()), newRequest(t, "POST", server.URL, "x").WithContext(ctx)
	go func() {
		response, err := waiting.Do(request)
		if err != nil {
			t.Error(err)
			first <- ""
			return
		}
		first <- read(t, response)
	}()
	<-started
	raw := options
	raw.Raw = true // the same key, as Stripe's clients write it
	response, err := newClient(t, raw).Do(newRequest(t, "POST", server.URL, "x").WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	body := read(t, response)
	if got := <-first; got != "once" || body != "once" || response.Header.Get("Idempotency-Replayed") != "true" || runs != 1 {
		t.Errorf("%q and %q after %d runs", got, body, runs)
	}
	if len(statuses) == 0 || statuses[0] != http.StatusConflict {
		t.Errorf("statuses %v", statuses)
	}
}
