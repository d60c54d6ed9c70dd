package main

import (
	"math/rand/v2"
	"sync"
)

// linkSwitches says how bad a piece of the network is.
type linkSwitches struct {
	Lose bool `json:"lose"` // requests arrive, their replies don't
	Slow bool `json:"slow"`
	Cut  bool `json:"cut"` // connections break under the request
}

// link is a piece of the network: between a client and the API, between the API
// and Redis, between the API and the card network.
type link struct {
	rate float64 // of the messages that are hit

	mu       sync.Mutex
	switches linkSwitches
	began    bool // nothing was hit since a switch was turned on
	row      int  // hits in a row
}

func (l *link) set(s linkSwitches) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s != l.switches {
		l.switches, l.began, l.row = s, true, 0
	}
}

type fate uint8

const (
	delivered fate = iota
	replyLost
	cut
)

// next decides on a message. The first one after a switch was turned on is always
// hit, so that one sees something at once, and after two in a row one passes: a
// network that lets nothing through shows nothing.
func (l *link) next() (f fate, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.switches
	if !s.Lose && !s.Cut {
		return delivered, s.Slow
	}
	if !l.began && (l.row == 2 || rand.Float64() >= l.rate) {
		l.row = 0
		return delivered, s.Slow
	}
	f = replyLost
	if s.Cut && (!s.Lose || !l.began && rand.N(2) == 0) {
		f = cut
	}
	l.began = false
	l.row++
	return f, s.Slow
}
