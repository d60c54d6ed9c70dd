package consumer

import "time"

// Action is what is to become of a message. The zero Action loses nothing.
type Action uint8

const (
	// Nack: the message is to be delivered again.
	Nack Action = iota
	// Ack: the message is done with.
	Ack
	// DeadLetter: the message is to be put aside, where a person finds it. Another
	// delivery would end the same.
	DeadLetter
)

// String is the action's name in lower case.
func (a Action) String() string {
	switch a {
	case Nack:
		return "nack"
	case Ack:
		return "ack"
	case DeadLetter:
		return "dead letter"
	}
	return "unknown"
}

// Reason is why; see the table in the package's documentation. Its values are
// words for logs and metrics.
type Reason string

const (
	Handled    Reason = "handled"
	Duplicate  Reason = "duplicate"
	Unrecorded Reason = "unrecorded"
	Failed     Reason = "failed"
	Retry      Reason = "retry"
	InProgress Reason = "in_progress"
	LeaseLost  Reason = "lease_lost"
	Abandoned  Reason = "abandoned"
	Exhausted  Reason = "exhausted"
	Mismatch   Reason = "mismatch"
	Invalid    Reason = "invalid"
	Unreadable Reason = "unreadable"
	Store      Reason = "store"
	Stopped    Reason = "stopped"
)

// Verdict is what became of one delivery of a message.
type Verdict struct {
	Action Action
	Reason Reason
	// Delay is how long the broker should wait before it delivers the message
	// again: Nack. It may be zero.
	Delay time.Duration
	// Err is what went wrong: the error of Handle, as it is when it ran now and a
	// replay of it otherwise, or one of the library. Nil where nothing did.
	Err error
	// Replayed: the outcome is that of an earlier or concurrent delivery.
	Replayed bool
	// Attempt counts how often the handling of the message was begun; 0 where it
	// wasn't seen.
	Attempt uint32
}
