package hub

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/internal/wire"
)

const (
	// patience is how long the first look at a key waits for its subscription.
	patience = 250 * time.Millisecond
	// poll bounds the sleep of waiters whose subscription isn't confirmed.
	poll = time.Second
)

// Look reads the record whose channel is given, from the server and from no
// cache, with LeaseLeft set. It returns when its ctx has ended.
type Look func(ctx context.Context, channel string) (backend.Record, error)

// Subscriber asks a server for the messages of channels.
//
// Neither method may block, for they are called under the hub's lock, and so
// neither may call the hub back. Calls for one channel alternate, beginning with
// Subscribe. Every Subscribe should be answered by [Hub.Confirmed] once the
// server has confirmed a subscription that was asked for after the last
// Unsubscribe, or by [Hub.Dropped] where it can't be had for now; the Subscriber
// goes on trying.
type Subscriber interface {
	Subscribe(channel string)
	Unsubscribe(channel string)
	// Close ends all subscriptions. Neither of the others is called after it.
	Close()
}

// Hub keeps the waiters of a backend. Its methods are safe for concurrent use.
type Hub struct {
	look Look
	sub  Subscriber
	ctx  context.Context
	stop context.CancelFunc
	done sync.WaitGroup // watchers

	mu     sync.Mutex
	closed bool
	topics map[string]*topic
}

// topic is one waited key. The hub's lock guards it.
type topic struct {
	channel string
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // of capacity one: there is news for the watcher

	waiters map[*waiter]struct{}

	tried     bool          // the subscription was confirmed or has failed once
	confirmed bool          // and it has not been dropped since
	dirty     bool          // there is a reason to look again
	looks     uint64        // looks begun
	holder    backend.Token // who held the key at the last look
	until     time.Time     // when to look again, if nothing happens
}

type waiter struct {
	token  backend.Token
	after  uint64 // only looks begun after this one count
	result chan result
}

type result struct {
	record backend.Record
	err    error
}

// New makes a hub that looks by look and hears through the Subscriber that
// connect returns; connect may keep the hub, not use it.
func New(look Look, connect func(*Hub) Subscriber) *Hub {
	h := &Hub{look: look, topics: make(map[string]*topic)}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.sub = connect(h)
	return h
}

// Wait returns as backend.Backend has it, without blocking on the server longer
// than ctx.
func (h *Hub) Wait(ctx context.Context, channel string, token backend.Token) (backend.Record, error) {
	if token.IsZero() {
		return h.look(ctx, channel)
	}
	if err := ctx.Err(); err != nil {
		return backend.Record{}, err
	}
	w := &waiter{token: token, result: make(chan result, 1)}
	t, err := h.join(channel, w)
	if err != nil {
		return backend.Record{}, err
	}
	select {
	case r := <-w.result:
		return wire.Clone(r.record), r.err
	case <-ctx.Done():
		h.leave(t, w)
		return backend.Record{}, ctx.Err()
	}
}

// Close wakes everybody with backend.ErrClosed and closes the Subscriber.
func (h *Hub) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	for _, t := range h.topics {
		for w := range t.waiters {
			t.answer(w, result{err: backend.ErrClosed})
		}
		h.remove(t)
	}
	h.mu.Unlock()
	h.stop()
	h.sub.Close()
	h.done.Wait()
}

// Confirmed reports that the server has confirmed the subscription, for the
// first time or again. What was published before may have been missed.
func (h *Hub) Confirmed(channel string) { h.subscribed(channel, true) }

// Dropped reports that a subscription was lost or can't be had: messages may be
// missed from now on.
func (h *Hub) Dropped(channel string) { h.subscribed(channel, false) }

func (h *Hub) subscribed(channel string, confirmed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[channel]; t != nil {
		t.tried, t.confirmed = true, confirmed
		t.lookAgain()
	}
}

// Message reports a message of the channel.
func (h *Hub) Message(channel, payload string) {
	record, completed := wire.ReadPush(payload)
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[channel]
	if t == nil {
		return
	}
	var room [4]*waiter
	answered := room[:0]
	if completed {
		for w := range t.waiters {
			if w.token == record.Token {
				delete(t.waiters, w)
				answered = append(answered, w)
			}
		}
	}
	if len(t.waiters) == 0 {
		h.remove(t)
	} else {
		t.lookAgain()
	}
	// The goroutine that is made ready last runs first: those who wait come before
	// what is to be tidied up.
	for _, w := range answered {
		w.result <- result{record: record}
	}
}

func (h *Hub) join(channel string, w *waiter) (*topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, backend.ErrClosed
	}
	t := h.topics[channel]
	if t == nil {
		t = &topic{channel: channel, wake: make(chan struct{}, 1), waiters: make(map[*waiter]struct{}, 1)}
		t.ctx, t.cancel = context.WithCancel(h.ctx)
		h.topics[channel] = t
		h.sub.Subscribe(channel)
		h.done.Go(func() { h.watch(t) })
	}
	// Where the last look found the key held by the same token, and every change
	// since would have been heard, there is nothing to look for.
	if heard := t.confirmed && t.holder == w.token && time.Now().Before(t.until); !heard {
		t.lookAgain()
	}
	w.after = t.looks
	t.waiters[w] = struct{}{}
	return t, nil
}

func (h *Hub) leave(t *topic, w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, waits := t.waiters[w]; !waits {
		return // it was answered a moment ago
	}
	delete(t.waiters, w)
	if len(t.waiters) == 0 {
		h.remove(t)
	}
}

// remove ends a topic.
func (h *Hub) remove(t *topic) {
	delete(h.topics, t.channel)
	t.cancel()
	h.sub.Unsubscribe(t.channel)
}

func (t *topic) lookAgain() {
	t.dirty = true
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *topic) answer(w *waiter, r result) {
	delete(t.waiters, w)
	w.result <- r
}

// watch looks at the topic's record whenever there is a reason to, until the
// topic is removed.
func (h *Hub) watch(t *topic) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-t.wake:
			if !h.due(t) {
				continue
			}
		case <-timer.C:
		}
		sleep, again := h.observe(t)
		for again {
			sleep, again = h.observe(t)
		}
		if t.ctx.Err() != nil {
			return
		}
		timer.Reset(sleep)
	}
}

// due tells whether there is a reason to look at once. Before the subscription
// there is none: a look would have to be repeated after it.
func (h *Hub) due(t *topic) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return t.dirty && t.tried
}

// observe looks once, answers whom it can, and says how long to sleep or that
// it must look again.
func (h *Hub) observe(t *topic) (sleep time.Duration, again bool) {
	h.mu.Lock()
	t.dirty, t.tried = false, true
	t.looks++
	look := t.looks
	h.mu.Unlock()

	record, err := h.look(t.ctx, t.channel)

	h.mu.Lock()
	defer h.mu.Unlock()
	if t.ctx.Err() != nil {
		return 0, false
	}
	for w := range t.waiters {
		held := err == nil && record.State == backend.Claimed && record.Token == w.token
		if w.after < look && !held {
			t.answer(w, result{record: record, err: err})
		}
	}
	if len(t.waiters) == 0 {
		h.remove(t)
		return 0, false
	}
	t.holder, t.until = backend.Token{}, time.Time{}
	if err == nil && record.State == backend.Claimed {
		sleep = min(untilLeaseEnd(record.LeaseLeft), backend.MaxSleep)
		if !t.confirmed {
			sleep = min(sleep, poll)
		}
		t.holder, t.until = record.Token, time.Now().Add(sleep)
	}
	for w := range t.waiters {
		// Whoever came while the look was under way and can't be put off.
		if w.after >= look && w.token != t.holder {
			t.dirty = true
		}
	}
	return sleep, t.dirty
}

// untilLeaseEnd is a little more than the lease, and not the same in every
// process that waits for it.
func untilLeaseEnd(left time.Duration) time.Duration {
	return left + time.Millisecond + rand.N(min(left/20, 20*time.Millisecond)+1)
}
