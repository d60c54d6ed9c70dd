package idempotency_test

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/reprise-go/reprise/conformance/faults"
)

// step is one line of a script: what happens next, from outside.
type step struct {
	kind    string // call, sleep, cancel, crash, pause, resume, fault, forget, resolve
	process int
	key     int
	call    callStep
	for_    time.Duration // sleep, and how late or slow a fault makes a request
	fault   string        // lose the reply, not applied, late, delay, slow reply
	verb    faults.Verb   // of the requests that a fault counts; zero: all
	nth     int           // of those requests; of the calls, for cancel
}

// callStep is a call and what its action would do.
type callStep struct {
	policy      string // rerun, fail, reconcile, detach, shield
	fingerprint string
	noWait      bool
	patient     bool          // waits without limit
	limit       time.Duration // of its ctx; zero: none
	takes       time.Duration
	stubborn    bool   // the action doesn't look at its ctx
	end         string // value, declined, ignored, panic, goexit
	verdict     string // of Reconcile: answer, again, unknown, error
}

func (s step) String() string {
	switch s.kind {
	case "call":
		c := s.call
		line := fmt.Sprintf("process %d calls key %d (%s", s.process, s.key, c.policy)
		for _, flag := range []struct {
			set  bool
			text string
		}{
			{c.policy == "reconcile", " says " + c.verdict},
			{c.fingerprint != "", ", fingerprint " + c.fingerprint},
			{c.noWait, ", no wait"}, {c.patient, ", waits for ever"},
			{c.limit > 0, fmt.Sprintf(", ctx of %v", c.limit)},
		} {
			if flag.set {
				line += flag.text
			}
		}
		line += fmt.Sprintf("): the action takes %v and ends in %s", c.takes, c.end)
		if c.stubborn {
			line += ", whatever its ctx says"
		}
		return line
	case "sleep":
		return fmt.Sprintf("%v go by", s.for_)
	case "cancel":
		return fmt.Sprintf("call %d is cancelled, if there is one", s.nth)
	case "fault":
		what := "request"
		if s.verb != 0 {
			what = s.verb.String()
		}
		line := fmt.Sprintf("%s %d of process %d from now on: %s", what, s.nth, s.process, s.fault)
		if s.fault == "late" || s.fault == "delay" || s.fault == "slow reply" {
			line += fmt.Sprintf(" by %v", s.for_)
		}
		return line
	case "forget", "resolve":
		return fmt.Sprintf("process %d: %s key %d", s.process, s.kind, s.key)
	default:
		return fmt.Sprintf("process %d: %s", s.process, s.kind)
	}
}

type script []step

// GoString is how rapid shows a script.
func (s script) GoString() string { return s.String() }

func (s script) String() string {
	var b strings.Builder
	calls := 0
	for _, line := range s {
		number := ""
		if line.kind == "call" {
			number = fmt.Sprintf("call %d: ", calls)
			calls++
		}
		fmt.Fprintf(&b, "\n\t%s%v", number, line)
	}
	return b.String()
}

const (
	processes = 3
	keys      = 2 // the first is called more often: histories get longer
)

// scripts draws what happens. The first of each list is what a failing script
// shrinks to.
func scripts() *rapid.Generator[script] {
	one := rapid.Custom(func(t *rapid.T) step {
		s := step{
			kind: rapid.SampledFrom([]string{
				"sleep", "call", "call", "call", "call", "call", "sleep", "sleep",
				"cancel", "fault", "fault", "crash", "pause", "resume", "forget", "resolve",
			}).Draw(t, "kind"),
			process: rapid.IntRange(0, processes-1).Draw(t, "process"),
		}
		switch s.kind {
		case "call":
			s.key = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "key")
			s.call = callStep{
				policy:      rapid.SampledFrom([]string{"rerun", "rerun", "fail", "reconcile", "detach", "shield"}).Draw(t, "policy"),
				fingerprint: rapid.SampledFrom([]string{"", "", "A", "A", "B"}).Draw(t, "fingerprint"),
				noWait:      rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "noWait"),
				patient:     rapid.Bool().Draw(t, "patient"),
				limit:       rapid.SampledFrom([]time.Duration{0, 0, 100 * time.Millisecond, propLease, 3 * propLease}).Draw(t, "limit"),
				takes:       rapid.SampledFrom([]time.Duration{0, 10 * time.Millisecond, propLease / 2, propLease / 2, 2 * propLease, 5 * propLease}).Draw(t, "takes"),
				stubborn:    rapid.SampledFrom([]bool{false, false, true}).Draw(t, "stubborn"),
				end:         rapid.SampledFrom([]string{"value", "value", "value", "declined", "ignored", "ignored", "panic", "goexit"}).Draw(t, "end"),
				verdict:     rapid.SampledFrom([]string{"again", "answer", "unknown", "error"}).Draw(t, "verdict"),
			}
		case "sleep":
			s.for_ = rapid.SampledFrom([]time.Duration{
				time.Millisecond, 50 * time.Millisecond, propLease / 3, propLease, 3 * propLease, propRetention + propLease,
			}).Draw(t, "for")
		case "cancel":
			s.nth = rapid.IntRange(0, 20).Draw(t, "call")
		case "fault":
			s.fault = rapid.SampledFrom([]string{"lose the reply", "not applied", "late", "delay", "slow reply"}).Draw(t, "fault")
			if s.fault == "slow reply" {
				s.verb, s.nth = faults.Claim, 1
				s.for_ = rapid.SampledFrom([]time.Duration{propLease, 2 * propLease}).Draw(t, "by")
				break
			}
			s.verb = rapid.SampledFrom([]faults.Verb{0, faults.Claim, faults.Commit, faults.Commit}).Draw(t, "verb")
			s.nth = rapid.IntRange(1, 3).Draw(t, "nth")
			s.for_ = rapid.SampledFrom([]time.Duration{propLease / 2, propLease, 2 * propLease}).Draw(t, "by")
		case "forget", "resolve":
			s.key = rapid.SampledFrom([]int{0, 0, 1}).Draw(t, "key")
		}
		return s
	})
	return rapid.Map(rapid.SliceOfN(one, 1, 50), func(steps []step) script { return steps })
}
