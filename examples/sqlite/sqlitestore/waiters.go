package sqlitestore

import (
	"context"
	"sync"
)

// waiters are those who wait through one Store, by key. While there are any, one
// goroutine follows what others write to the file.
type waiters struct {
	follow func(context.Context)

	mu      sync.Mutex
	byKey   map[string]map[*waiter]struct{}
	stopped bool
	cancel  context.CancelFunc // of the goroutine that follows; nil: there is none
}

type waiter struct {
	key  string
	wake chan struct{} // holds one: being woken twice before one looks is being woken once
}

// join registers a waiter, and starts to follow with the first one.
func (ws *waiters) join(key string) *waiter {
	w := &waiter{key: key, wake: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byKey == nil {
		ws.byKey = make(map[string]map[*waiter]struct{})
	}
	if ws.byKey[key] == nil {
		ws.byKey[key] = make(map[*waiter]struct{})
	}
	ws.byKey[key][w] = struct{}{}
	if ws.cancel == nil && !ws.stopped {
		ctx, cancel := context.WithCancel(context.Background())
		ws.cancel = cancel
		go ws.follow(ctx)
	}
	return w
}

// leave ends the registration, and the following with the last one.
func (ws *waiters) leave(w *waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.byKey[w.key], w)
	if len(ws.byKey[w.key]) == 0 {
		delete(ws.byKey, w.key)
	}
	if len(ws.byKey) == 0 && ws.cancel != nil {
		ws.cancel()
		ws.cancel = nil
	}
}

// stop ends the following for good.
func (ws *waiters) stop() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stopped = true
	if ws.cancel != nil {
		ws.cancel()
		ws.cancel = nil
	}
}

// wake lets those who wait for the key look again.
func (ws *waiters) wake(key string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.byKey[key] {
		w.notify()
	}
}

// wakeAll lets everybody look again: a wake-up may have been missed.
func (ws *waiters) wakeAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, waiters := range ws.byKey {
		for w := range waiters {
			w.notify()
		}
	}
}

func (w *waiter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
