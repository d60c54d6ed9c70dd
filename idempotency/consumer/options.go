package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/idempotency"
)

// MaxMaxDelay is the greatest Options.MaxDelay.
const MaxMaxDelay = 24 * time.Hour

// Options says how messages of type M are handled. Name, Key and Handle are
// required.
// Its functions are called by many goroutines at once.
type Options[M any] struct {
	// Name is the operation's, in records, errors and traces. It tells the keys of
	// one consumer from those of another: a message whose key another consumer of
	// the same namespace has handled is Mismatch, and not taken for a duplicate. So
	// give two consumers of the same messages an executor each, with a namespace of
	// its own.
	Name string
	// Key identifies a message: the same for each delivery, another for every other
	// message. 1 to idempotency.MaxKey bytes. Two producers that choose their ids
	// independently need a prefix each.
	Key func(message M) string
	// Fingerprint, a hash of the content for example, tells a redelivery from
	// another message under a used key. Nil, or an empty one: not compared.
	Fingerprint func(message M) []byte
	// Metadata is kept beside the outcome, for Executor.Lookup; see
	// idempotency.Call.
	Metadata func(message M) map[string]string
	// Handle does the work. Its ctx carries the execution
	// (idempotency.ExecutionOf), and ends when the caller's does or when the lease
	// is lost.
	Handle func(ctx context.Context, message M) error

	// Final says which errors are outcomes: recorded, and not to be tried again. It
	// sees a panic as *idempotency.PanicError. Default: none is.
	Final func(err error) bool
	// OnFinal is what becomes of a message whose error was final: DeadLetter or
	// Ack. Default: DeadLetter.
	OnFinal Action
	// Harmless says of the errors that aren't final which of them mean that nothing
	// has happened: the key is released, and OnAbandoned isn't asked. Default: none
	// is.
	Harmless func(err error) bool
	// OnAbandoned says what a delivery does whose message was begun before and not
	// finished: by a worker that died, or by one whose error was neither Final nor
	// Harmless. Default: idempotency.Rerun.
	OnAbandoned idempotency.AbandonedPolicy
	// Reconcile: as in idempotency.OperationOptions.
	Reconcile func(ctx context.Context, abandoned idempotency.Abandoned) (idempotency.Decision[struct{}], error)
	// WhenAbandoned is what becomes of a message on which nobody has decided:
	// Nack, to come back after MaxDelay, or DeadLetter. Default: Nack.
	WhenAbandoned Action
	// MaxAttempts is how often the handling of a message is begun before it becomes
	// a dead letter; each time that Reconcile is asked counts, too. Default, zero:
	// no limit; then let the broker have one.
	MaxAttempts int
	// Shield lets Handle finish although the caller's ctx has ended, as in
	// idempotency.OperationOptions.
	Shield bool
	// Retention is how long it is remembered that a message was handled. At least
	// as long as the broker may deliver it again. Default: the executor's.
	Retention time.Duration

	// MinDelay and MaxDelay bound Verdict.Delay; after an error it is about
	// MinDelay, and doubles from attempt to attempt. Default: 1 s and 5 min.
	MinDelay time.Duration
	MaxDelay time.Duration
}

func (o Options[M]) withDefaults() (Options[M], error) {
	switch {
	case o.Name == "":
		return o, optionError("Name is empty: it tells this consumer's keys from those of others")
	case o.Key == nil:
		return o, optionError("Key is nil")
	case o.Handle == nil:
		return o, optionError("Handle is nil")
	case o.OnFinal > DeadLetter:
		return o, optionError("OnFinal is %d, which is no action", o.OnFinal)
	case o.WhenAbandoned > DeadLetter || o.WhenAbandoned == Ack:
		return o, optionError("WhenAbandoned is %d, want Nack or DeadLetter", o.WhenAbandoned)
	}
	if o.OnFinal == Nack {
		o.OnFinal = DeadLetter
	}
	if o.MinDelay == 0 {
		o.MinDelay = time.Second
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = max(5*time.Minute, o.MinDelay)
	}
	if o.MinDelay < time.Millisecond || o.MinDelay > MaxMaxDelay {
		return o, optionError("MinDelay is %v, want %v to %v", o.MinDelay, time.Millisecond, MaxMaxDelay)
	}
	if o.MaxDelay < o.MinDelay || o.MaxDelay > MaxMaxDelay {
		return o, optionError("MaxDelay is %v, want MinDelay, which is %v, to %v", o.MaxDelay, o.MinDelay, MaxMaxDelay)
	}
	if o.Final == nil {
		o.Final = func(error) bool { return false }
	}
	return o, nil
}

func optionError(format string, args ...any) error {
	return &idempotency.Error{Step: "options", Err: fmt.Errorf("consumer: "+format, args...)}
}
