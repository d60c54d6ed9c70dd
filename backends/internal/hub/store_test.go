package hub

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

// store is a fake server: records, and who is subscribed to what.
type store struct {
	mu         sync.Mutex
	hub        *Hub
	records    map[string]backend.Record
	expires    map[string]time.Time // of leases
	subscribed map[string]bool
	looks      int
	subscribes int
	err        error
	deaf       bool // subscriptions are never confirmed
	delay      time.Duration
	closed     bool
}

func newStore() *store {
	return &store{records: map[string]backend.Record{}, expires: map[string]time.Time{}, subscribed: map[string]bool{}}
}

func (s *store) open() *Hub {
	s.hub = New(s.look, func(*Hub) Subscriber { return s })
	return s.hub
}

func (s *store) look(ctx context.Context, channel string) (backend.Record, error) {
	s.mu.Lock()
	s.looks++
	delay := s.delay
	s.mu.Unlock()
	if !pause(ctx, delay) {
		return backend.Record{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return backend.Record{}, s.err
	}
	record := s.records[channel]
	if record.State == backend.Claimed {
		if record.LeaseLeft = time.Until(s.expires[channel]); record.LeaseLeft <= 0 {
			record.State, record.LeaseLeft = backend.Abandoned, 0
		}
	}
	return record, nil
}

func (s *store) Subscribe(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribes++
	s.subscribed[channel] = true
	if !s.deaf {
		go s.hub.Confirmed(channel)
	}
}

func (s *store) Unsubscribe(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.subscribed[channel] {
		panic("not subscribed")
	}
	delete(s.subscribed, channel)
}

func (s *store) Close() { s.closed = true }

func (s *store) claim(channel string, token backend.Token, lease time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[channel] = backend.Record{State: backend.Claimed, Token: token, Attempt: 1, Fence: 1}
	s.expires[channel] = time.Now().Add(lease)
}

// complete records an outcome; carry puts it into the message.
func (s *store) complete(channel string, token backend.Token, publish, carry bool) {
	request := backend.CommitRequest{Token: token, Ending: backend.Complete, Outcome: []byte("outcome"), Fence: 1}
	frame := wire.AppendCommit(nil, &request)
	record, _, _ := wire.Decode(frame)
	s.mu.Lock()
	s.records[channel] = record
	subscribed := s.subscribed[channel]
	s.mu.Unlock()
	if !publish || !subscribed {
		return
	}
	if !carry {
		frame = nil
	}
	s.hub.Message(channel, string(frame))
}

func (s *store) counts() (looks, subscribes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks, s.subscribes
}

func (s *store) empty(t *testing.T) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if len(s.subscribed) != 0 || len(s.hub.topics) != 0 {
		t.Errorf("%d subscriptions and %d topics are left", len(s.subscribed), len(s.hub.topics))
	}
}

func wait(h *Hub, channel string, token backend.Token) chan result {
	return waitFor(context.Background(), h, channel, token)
}

func waitFor(ctx context.Context, h *Hub, channel string, token backend.Token) chan result {
	got := make(chan result, 1)
	go func() {
		record, err := h.Wait(ctx, channel, token)
		got <- result{record, err}
	}()
	return got
}
