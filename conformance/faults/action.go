package faults

import (
	"fmt"
	"time"
)

type actionKind uint8

const (
	pass actionKind = iota
	cutBefore
	cutReply
	delayReply
	late
	blackhole
)

// Action is what [Proxy] does with one request. The zero Action is [Pass].
type Action struct {
	kind  actionKind
	delay time.Duration
}

// The actions that need no duration.
var (
	// Pass forwards the request and delivers its reply.
	Pass = Action{kind: pass}
	// CutBefore closes the connection and forwards nothing: the server never
	// hears of the request.
	CutBefore = Action{kind: cutBefore}
	// CutReply forwards the request and closes the client's connection when the
	// server answers, instead of delivering the reply: the request was applied
	// and its sender can't know. The requests that the client had in flight on
	// that connection lose their replies too.
	CutReply = Action{kind: cutReply}
	// Blackhole swallows the request and everything that the client sends after
	// it on that connection, which stays open and silent.
	Blackhole = Action{kind: blackhole}
)

// DelayReply forwards the request and delivers what the server says next on
// that connection d later.
func DelayReply(d time.Duration) Action { return Action{kind: delayReply, delay: d} }

// Late closes the client's connection at once and forwards the request d later:
// its sender has given up and it arrives all the same. It is forwarded earlier by
// [Proxy.DeliverLate]; with zero or a negative d by that alone.
func Late(d time.Duration) Action { return Action{kind: late, delay: d} }

// String names the action as it is written in Go.
func (a Action) String() string {
	switch a.kind {
	case pass:
		return "Pass"
	case cutBefore:
		return "CutBefore"
	case cutReply:
		return "CutReply"
	case delayReply:
		return fmt.Sprintf("DelayReply(%v)", a.delay)
	case late:
		return fmt.Sprintf("Late(%v)", a.delay)
	case blackhole:
		return "Blackhole"
	default:
		return "unknown action"
	}
}
