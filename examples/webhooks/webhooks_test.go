package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency/consumer"
	"github.com/reprise-go/reprise/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExample(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		t.Setenv("REPRISE_REDIS_ADDR", "")
		if err := run(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("redis", func(t *testing.T) {
		t.Setenv("REPRISE_REDIS_ADDR", redistest.Address(t))
		if err := run(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// rig is a receiver without a network.
type rig struct {
	t     *testing.T
	books *books
	*receiver
}

func newRig(t *testing.T, store backend.Backend) *rig {
	if store == nil {
		s := memory.New()
		t.Cleanup(func() { s.Close() })
		store = s
	}
	books := newBooks()
	r, err := newReceiver(store, "test", books)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return &rig{t, books, r}
}

func (r *rig) post(ctx context.Context, d delivery) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, d.path, bytes.NewReader(d.body))
	req.Header = d.header()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

func charge(t *testing.T, id string) []byte {
	body, err := stripeBody(id, "charge.succeeded", "charge", "ch_"+id, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestAnswers(t *testing.T) {
	now := time.Now
	body := charge(t, "evt_1")
	tampered := stripeDelivery(body, stripeSecret, now)
	tampered.body = bytes.Replace(body, []byte(`"amount":100`), []byte(`"amount":900`), 1)
	if bytes.Equal(tampered.body, body) {
		t.Fatal("the fixture has no amount")
	}
	several := stripeDelivery(body, stripeSecret, now)
	header := several.header
	several.header = func() http.Header {
		h := header()
		signed := h.Get("Stripe-Signature")
		h.Set("Stripe-Signature", strings.Replace(signed, "v1=", "v1="+strings.Repeat("ab", 32)+",v1=", 1)+",v0=test")
		return h
	}
	ping := githubPush("1", "c0ffee", githubSecret)
	pingHeader := ping.header
	ping.header = func() http.Header {
		h := pingHeader()
		h.Set("X-GitHub-Event", "ping")
		return h
	}
	nameless := githubPush("", "c0ffee", githubSecret)
	r := newRig(t, nil)
	tooLong := stripeDelivery(bytes.Repeat([]byte(" "), maxBody+1), stripeSecret, now)
	for _, test := range []struct {
		name     string
		delivery delivery
		status   int
		booked   int
	}{
		{"forged", stripeDelivery(body, "whsec_guessed", now), 400, 0},
		{"tampered with", tampered, 400, 0},
		{"too old", stripeDelivery(body, stripeSecret, func() time.Time { return now().Add(-6 * time.Minute) }), 400, 0},
		{"from the future", stripeDelivery(body, stripeSecret, func() time.Time { return now().Add(6 * time.Minute) }), 400, 0},
		{"no signature", delivery{path: "/webhooks/stripe", body: body, header: func() http.Header { return http.Header{} }}, 400, 0},
		{"signed for the other one", delivery{path: "/webhooks/github", body: body, header: stripeDelivery(body, stripeSecret, now).header}, 400, 0},
		{"too long", tooLong, 413, 0},
		{"right", several, 200, 1},
		{"again", stripeDelivery(body, stripeSecret, now), 200, 1},
		{"no event", stripeDelivery([]byte("[]"), stripeSecret, now), 200, 1},
		{"of no interest", stripeDelivery([]byte(`{"id": "evt_2", "type": "plan.created"}`), stripeSecret, now), 200, 1},
		{"forged push", githubPush("1", "c0ffee", "guessed"), 400, 1},
		{"ping", ping, 200, 1},
		{"no delivery id", nameless, 200, 1},
		{"nowhere", delivery{path: "/", header: func() http.Header { return nil }}, 404, 1},
	} {
		w := r.post(t.Context(), test.delivery)
		if w.Code != test.status || len(r.books.entries) != test.booked {
			t.Errorf("%s: %d, %d booked; want %d, %d", test.name, w.Code, len(r.books.entries), test.status, test.booked)
		}
	}
	if r.books.entries["evt_1"] != 1 || len(r.books.builds) != 0 || fmt.Sprint(r.books.aside) != "[invalid invalid]" {
		t.Errorf("booked %v, built %v, put aside %v", r.books.entries, r.books.builds, r.books.aside)
	}
}

// Two copies of an event at one moment: one is handled, the other one is to come
// again, and finds it booked.
func TestConcurrentDuplicates(t *testing.T) {
	r := newRig(t, nil)
	d := stripeDelivery(charge(t, "evt_1"), stripeSecret, time.Now)
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			<-start
			w := r.post(t.Context(), d)
			mu.Lock()
			defer mu.Unlock()
			statuses[w.Code]++
			if w.Code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
		})
	}
	close(start)
	wg.Wait()
	if statuses[200] == 0 || statuses[200]+statuses[503] != 8 || r.books.entries["evt_1"] != 1 {
		t.Errorf("statuses %v, booked %d times", statuses, r.books.entries["evt_1"])
	}
	if w := r.post(t.Context(), d); w.Code != 200 || r.books.entries["evt_1"] != 1 {
		t.Errorf("%d, booked %d times", w.Code, r.books.entries["evt_1"])
	}
}

func TestBusyBooks(t *testing.T) {
	r := newRig(t, nil)
	d := stripeDelivery(charge(t, "evt_1"), stripeSecret, time.Now)
	r.books.beBusyOnce("evt_1")
	if w := r.post(t.Context(), d); w.Code != 503 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %s", w.Code, w.Header().Get("Retry-After"))
	}
	if w := r.post(t.Context(), d); w.Code != 200 || r.books.entries["evt_1"] != 1 {
		t.Errorf("%d", w.Code)
	}
}

func TestOutOfOrder(t *testing.T) {
	r := newRig(t, nil)
	for i, e := range []struct {
		kind    string
		created int64
	}{{"charge.refunded", 20}, {"charge.succeeded", 10}} {
		body, err := stripeBody(fmt.Sprint("evt_", i), e.kind, "charge", "ch_1", e.created, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w := r.post(t.Context(), stripeDelivery(body, stripeSecret, time.Now)); w.Code != 200 {
			t.Errorf("%s: %d", e.kind, w.Code)
		}
	}
	if state := r.books.charges["ch_1"].state; state != "refunded" {
		t.Errorf("the charge is %s", state)
	}
}

// The sender hangs up while its event is handled: it is finished, and the next
// try finds it booked.
func TestSenderHangsUp(t *testing.T) {
	r := newRig(t, nil)
	d := githubPush("1", "c0ffee", githubSecret)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	r.post(ctx, d)
	cancel()
	for end := time.Now().Add(10 * time.Second); ; {
		if w := r.post(t.Context(), d); w.Code == 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("never handled")
		}
	}
	if n := r.books.builds["c0ffee"]; n != 1 {
		t.Errorf("built %d times", n)
	}
}

func TestStoreDown(t *testing.T) {
	injector := faults.NewInjector(func(faults.Call) faults.Fault { return faults.Fail(backend.ErrPermanent) })
	defer injector.Close()
	store := memory.New()
	defer store.Close()
	r := newRig(t, injector.Wrap(store))
	if w := r.post(t.Context(), stripeDelivery(charge(t, "evt_1"), stripeSecret, time.Now)); w.Code != 503 || len(r.books.entries) != 0 {
		t.Errorf("%d, booked %v", w.Code, r.books.entries)
	}
}

// The check finds what it is there for.
func TestCheck(t *testing.T) {
	b := newBooks()
	s, err := newStory(b)
	if err != nil {
		t.Fatal(err)
	}
	for id := range s.events {
		b.entries[id] = 1
	}
	for charge, state := range s.charges {
		b.charges[charge] = entry{state: state}
	}
	for commit := range s.commits {
		b.builds[commit] = 1
	}
	b.aside = []consumer.Reason{consumer.Invalid, consumer.Failed}
	if wrong := s.check(b); len(wrong) != 0 {
		t.Fatal(wrong)
	}
	b.entries["evt_forged"] = 1
	b.charges["ch_0000"] = entry{state: "paid"}
	for commit := range s.commits {
		b.builds[commit] = 2
		break
	}
	if wrong := s.check(b); len(wrong) != 3 {
		t.Error(wrong)
	}
}
