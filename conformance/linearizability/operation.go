package linearizability

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// reply is what the caller of a verb was told.
type reply uint8

const (
	// answered: a record, or that the verb succeeded.
	answered reply = iota
	// superseded: a commit that was refused.
	superseded
	// lost: nobody knows whether the request was applied.
	lost
)

// operation is one call of a verb. It isn't changed once the verb has returned.
type operation struct {
	verb   faults.Verb
	key    string
	claim  backend.ClaimRequest  // of Claim
	commit backend.CommitRequest // of Commit
	token  backend.Token         // of Claim, Commit and Wait

	reply  reply
	record backend.Record // what Claim, Wait and Fetch returned
	err    error

	// process is the number of the backend that was called.
	process int

	// begin and end are the places of the call and of its return among all calls
	// and returns of the recorder; end is math.MaxInt64 where the request may
	// still be on its way.
	begin, end int64

	// from and to are an interval of the store's clock that the verb was applied
	// in, if it was; to is forever where the request may still be on its way.
	from, to time.Duration

	// returned and returnedAt are end and to of a call that has returned without
	// its outcome being known.
	returned   int64
	returnedAt time.Duration

	// resent: an earlier send of the operation that stands beside this one, made
	// by the client library. It may have been applied.
	resent bool
}

// reads tells whether the verb changes nothing.
func (o *operation) reads() bool { return o.verb == faults.Wait || o.verb == faults.Fetch }

// harmless tells whether the operation had certainly no effect, whatever the
// record was: leaving it out explains nothing that couldn't be explained with it.
func (o *operation) harmless() bool {
	switch {
	case o.reads(), o.reply == superseded:
		return true
	case o.verb == faults.Claim && o.reply == answered:
		return o.record.State != backend.Claimed || o.record.Token != o.token
	default:
		return false
	}
}

// settle takes what the verb returned. It reports false for an operation that is
// no part of the history: one that was certainly not applied, or that read
// nothing.
func (o *operation) settle(record backend.Record, err error) bool {
	o.record, o.err = record, err
	switch {
	case err == nil:
		o.reply = answered
	case errors.Is(err, backend.ErrSuperseded) && o.verb == faults.Commit:
		o.reply = superseded
	case o.reads(), errors.Is(err, backend.ErrNotApplied):
		return false
	default:
		o.reply = lost
	}
	return true
}

// undeserved tells an error that nothing in a history that keeps to the bounds of
// package backend can deserve, on a store that is in use.
func (o *operation) undeserved() bool {
	for _, never := range []error{backend.ErrInvalid, backend.ErrCorrupt, backend.ErrTooLarge, backend.ErrPermanent} {
		if errors.Is(o.err, never) {
			return true
		}
	}
	return o.verb != faults.Commit && errors.Is(o.err, backend.ErrSuperseded)
}

// names gives tokens short names in the order in which they appear.
type names map[backend.Token]string

func (n names) of(token backend.Token) string {
	if token.IsZero() {
		return "nobody"
	}
	name, known := n[token]
	if !known {
		name = letters(len(n))
		n[token] = name
	}
	return name
}

// letters counts A, B, ..., Z, AA, AB, ...
func letters(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return letters(n/26-1) + letters(n%26)
}

// request is the operation's side of a line: what was asked for.
func (o *operation) request(n names) string {
	var b strings.Builder
	who := n.of(o.token)
	switch o.verb {
	case faults.Claim:
		r := &o.claim
		if r.Renewal {
			fmt.Fprintf(&b, "renewal by %s (attempt %d, fence %d, lease %v, keep %v)", who, r.Attempt, r.Fence, r.Lease, r.Keep)
		} else {
			fmt.Fprintf(&b, "claim by %s (seen %d, fence %d, lease %v, keep %v)", who, r.Seen, r.Fence, r.Lease, r.Keep)
		}
	case faults.Commit:
		r := &o.commit
		switch r.Ending {
		case backend.Complete:
			fmt.Fprintf(&b, "complete by %s (outcome %q, retention %v", who, short(r.Outcome), r.Retention)
		default:
			fmt.Fprintf(&b, "%v by %s (keep %v", r.Ending, who, r.Keep)
		}
		if r.LeaseHeld {
			b.WriteString(", lease held")
		}
		b.WriteByte(')')
	case faults.Wait:
		fmt.Fprintf(&b, "wait for %s", who)
	case faults.Fetch:
		b.WriteString("fetch")
	case faults.Forget:
		b.WriteString("forget")
	}
	if o.resent {
		b.WriteString(", an earlier send by the client")
	}
	return b.String()
}

// answer is the other side: what came back.
func (o *operation) answer(n names) string {
	switch {
	case o.resent:
		return "unknown"
	case o.reply == lost && o.err != nil:
		return fmt.Sprintf("unknown (%s)", short([]byte(o.err.Error())))
	case o.reply == lost:
		return "unknown (not answered yet)"
	case o.reply == superseded:
		return "superseded"
	case o.verb == faults.Commit, o.verb == faults.Forget:
		return "success"
	default:
		return describe(o.record, n)
	}
}

// describe shows a record in one line.
func describe(r backend.Record, n names) string {
	if r.State == backend.Vacant && r.Fence == 0 && r.Token.IsZero() {
		return "unknown key"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v by %s, attempt %d, fence %d", r.State, n.of(r.Token), r.Attempt, r.Fence)
	if r.State == backend.Completed || len(r.Outcome) > 0 {
		fmt.Fprintf(&b, ", outcome %q", short(r.Outcome))
	}
	fmt.Fprintf(&b, ", fingerprint %q, metadata %q", short(r.Fingerprint), short(r.Metadata))
	if r.LeaseLeft != 0 {
		fmt.Fprintf(&b, ", lease left %v", rounded(r.LeaseLeft))
	}
	if r.Remaining != 0 {
		fmt.Fprintf(&b, ", remaining %v", rounded(r.Remaining))
	}
	return b.String()
}

// short cuts what is long.
func short(b []byte) string {
	const most = 80
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
