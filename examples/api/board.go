package main

import (
	"slices"
	"sync"
	"time"
)

// board is what the page shows. Everything on it carries the version at which it
// changed last, so that a page that comes back is told what it missed.
type board struct {
	mu       sync.Mutex
	version  int64
	woken    chan struct{} // closed at the next change
	resetAt  int64         // the version at which everything was taken down
	requests int64
	rows     []*row // the newest maxRows of them
	accounts []*versioned[account]
	counters versioned[counters]
	world    versioned[world]
}

const (
	maxRows     = 400
	maxAccounts = 100
)

type versioned[T any] struct {
	value   T
	version int64
}

// counters are over all payments since the start, or since the last reset.
type counters struct {
	Requests  int `json:"requests"`  // POSTs that arrived
	Retries   int `json:"retries"`   // of them, sent again by the client
	Ran       int `json:"ran"`       // times that the handler ran
	Waited    int `json:"waited"`    // joined a running call, or waited for another instance
	Replayed  int `json:"replayed"`  // got a recorded answer
	Takeovers int `json:"takeovers"` // of a dead or paused instance's key
	Refused   int `json:"refused"`   // 4xx by the library
	Lost      int `json:"lost"`      // replies that didn't reach their client
}

// change is what a page is told.
type change struct {
	Reset    bool      `json:"reset,omitempty"` // forget everything first
	Rows     []row     `json:"rows,omitempty"`
	Accounts []account `json:"accounts,omitempty"`
	Counters *counters `json:"counters,omitempty"`
	World    *world    `json:"world,omitempty"`
	version  int64
}

func newBoard() *board { return &board{version: 1, woken: make(chan struct{})} }

// touch makes a new version. The board is locked.
func (b *board) touch() int64 {
	b.version++
	close(b.woken)
	b.woken = make(chan struct{})
	return b.version
}

// begin puts a request on the board and returns its ID.
func (b *board) begin(r row) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	r.ID, r.Began, r.version = b.requests, time.Now().UnixMilli(), b.touch()
	b.rows = append(b.rows, &r)
	if len(b.rows) > maxRows {
		b.rows = slices.Delete(b.rows, 0, len(b.rows)-maxRows)
	}
	if r.counts() {
		b.counters.value.Requests++
		if r.Try > 1 {
			b.counters.value.Retries++
		}
		b.counters.version = r.version
	}
	return r.ID
}

// update changes a request that is on the board.
func (b *board) update(id int64, change func(*row, *counters)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.rows, func(r *row) bool { return r.ID == id })
	if i < 0 {
		return
	}
	r, before := b.rows[i], b.counters.value
	change(r, &b.counters.value)
	if !r.counts() {
		b.counters.value = before
	}
	r.version = b.touch()
	b.counters.version = r.version
}

// died ends what an instance was doing.
func (b *board) died(slot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rows {
		if r.Instance == slot && r.endSteps(time.Now().UnixMilli()) {
			r.Died = true
			r.version = b.touch()
		}
	}
}

// book shows an order's account.
func (b *board) book(a account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	version := b.touch()
	for _, v := range b.accounts {
		if v.value.Order == a.Order {
			v.value, v.version = a, version
			return
		}
	}
	b.accounts = append(b.accounts, &versioned[account]{a, version})
	if len(b.accounts) > maxAccounts {
		b.accounts = slices.Delete(b.accounts, 0, len(b.accounts)-maxAccounts)
	}
}

// show shows the state of the world.
func (b *board) show(w world) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.world = versioned[world]{w, b.touch()}
}

// reset takes everything down but the world.
func (b *board) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resetAt = b.touch()
	b.rows, b.accounts, b.counters = nil, nil, versioned[counters]{version: b.resetAt}
	b.world.version = b.resetAt
}

// since is what has changed after a version, and the channel that is closed when
// there is more. Version zero gets everything.
func (b *board) since(version int64) (change, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := change{version: b.version}
	if version < b.resetAt || version > b.version {
		version = 0 // it shows what isn't there any more
	}
	c.Reset = version == 0
	for _, r := range b.rows {
		if r.version > version {
			copied := *r
			copied.Steps = slices.Clone(r.Steps)
			c.Rows = append(c.Rows, copied)
		}
	}
	for _, v := range b.accounts {
		if v.version > version {
			c.Accounts = append(c.Accounts, v.value)
		}
	}
	if b.counters.version > version || version == 0 {
		value := b.counters.value
		c.Counters = &value
	}
	if b.world.version > version {
		value := b.world.value
		c.World = &value
	}
	return c, b.woken
}
