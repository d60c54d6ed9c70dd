package idempotency

import (
	"context"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// Observer sees the steps of every call. StepStart returns the ctx in which the
// step runs (that of StepAction is the parent of the action's own), usually the
// one it was given; StepEnd gets the same ctx and the same Step, filled in. The
// two are called in pairs, in the goroutine that makes the step, and must not
// block. A Step is reused after its StepEnd: keep a copy, never the pointer.
type Observer interface {
	StepStart(ctx context.Context, step *Step) context.Context
	StepEnd(ctx context.Context, step *Step)
}

// StepKind says what a step does.
type StepKind uint8

const (
	// StepRun is a whole call, from its check to its answer. The other steps of
	// the call lie inside it, except renewals and endings in the background.
	StepRun StepKind = iota + 1
	// StepClaim asks the store for the key, once or, while the reply is missing,
	// several times. At its start the observer may set Carrier.
	StepClaim
	// StepWait waits for another call that holds the key, in this process or in
	// another one.
	StepWait
	// StepAction is the action.
	StepAction
	// StepReconcile is the operation's Reconcile function.
	StepReconcile
	// StepCommit ends the claim; Ending says how.
	StepCommit
	// StepRenew extends the lease while the action runs.
	StepRenew
)

// String is the kind's name in lower case.
func (k StepKind) String() string {
	names := [...]string{"unknown", "run", "claim", "wait", "action", "reconcile", "commit", "renew"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// Outcome says how a call got its answer.
type Outcome uint8

const (
	// Executed: this call's action ran, and its outcome is the answer.
	Executed Outcome = iota + 1
	// Replayed: the answer was already recorded when the call came.
	Replayed
	// Joined: the call waited for another one in the same process.
	Joined
	// Waited: the call waited for another process.
	Waited
	// Refused: in progress elsewhere, wait timed out, another fingerprint or
	// operation, or bad input: the action didn't run.
	Refused
	// GaveUp: the key is abandoned and the policy is not to run.
	GaveUp
	// Failed: the store failed, the ctx ended, the lease was lost, or the answer
	// couldn't be read.
	Failed
)

// String is the outcome's name in lower case, as it stands in traces.
func (o Outcome) String() string {
	names := [...]string{"unknown", "executed", "replayed", "joined", "waited", "refused", "abandoned", "failed"}
	if int(o) >= len(names) {
		return names[0]
	}
	return names[o]
}

// MaxCarrier is the length of the longest carrier in bytes; a longer one is not
// stored.
const MaxCarrier = 1 << 10

// Step is one step of a call. It may get more fields.
type Step struct {
	// Kind, Namespace, Operation and Key are set at the start. Key is the raw key,
	// which is often a secret: don't export it as it is.
	Kind      StepKind
	Namespace string
	Operation string
	Key       string

	// Carrier is what the observer puts into the claim (StepClaim, at its start):
	// at most MaxCarrier bytes, a span context for example.
	Carrier []byte
	// Origin is another call's carrier. At the end of StepRun: that of the call
	// that executed, for replays, waiters and joined calls; that of the holder, for
	// a call that was refused or left while it waited; that of the attempt that was
	// abandoned, for GaveUp. At the end of a StepClaim that took over, and of
	// StepReconcile: that of the attempt that was abandoned.
	Origin []byte

	// Metadata of the record that the answer comes from: StepRun, at its end. It
	// must not be changed.
	Metadata map[string]string

	// Attempt and Fence of the record that the step saw or made; zero where it
	// saw none.
	Attempt uint32
	Fence   uint64
	// Outcome of the call: StepRun.
	Outcome Outcome
	// Unprotected: the action ran although the store was down (FailOpen).
	Unprotected bool
	// Takeover: the claim took over an abandoned key (StepClaim).
	Takeover bool
	// Ending and Superseded: how the claim was ended, and whether another holder
	// had been quicker (StepCommit).
	Ending     backend.Ending
	Superseded bool
	// Unfinished: the caller's ctx ended before the ending was confirmed, which is
	// repeated in the background, as another step (StepCommit).
	Unfinished bool
	// LeaseLost: the renewal found the lease gone (StepRenew), or the action's ctx
	// ended for that (StepAction).
	LeaseLost bool
	// Sends is how often the request was sent: StepClaim and StepCommit.
	Sends int
	// Size is the length in bytes of the encoded answer: StepCommit.
	Size int
	// Waited is the time that the call spent waiting for others: StepRun and
	// StepWait.
	Waited time.Duration
	// Duration is how long the step took.
	Duration time.Duration
	// Err is the step's error; nil where it went well. For StepRun it is what the
	// caller gets, before the hooks.
	Err error

	began time.Time
}

// steps are reused: a traced call makes four of them or more.
var steps = sync.Pool{New: func() any { return new(Step) }}

// observe starts a step. Without an observer it returns nil, and finish does
// nothing.
func (x *Executor) observe(ctx context.Context, kind StepKind, p *plan, key string) (context.Context, *Step) {
	if x.options.Observer == nil {
		return ctx, nil
	}
	step := steps.Get().(*Step)
	*step = Step{Kind: kind, Namespace: x.options.Namespace, Key: key, began: time.Now()}
	if p != nil {
		step.Operation = p.name
	}
	return x.options.Observer.StepStart(ctx, step), step
}

func (x *Executor) observed(ctx context.Context, step *Step, err error) {
	if step != nil {
		step.Err, step.Duration = err, time.Since(step.began)
		x.options.Observer.StepEnd(ctx, step)
		steps.Put(step)
	}
}
