package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// show is a record as failure messages show it.
func show(r backend.Record) string {
	if r.State == backend.Vacant && r.Fence == 0 && r.Attempt == 0 && r.Token.IsZero() {
		return "an unknown key (the zero Record)"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "{%v token=%x attempt=%d fence=%d fingerprint=%s metadata=%s",
		r.State, r.Token[:4], r.Attempt, r.Fence, showBytes(r.Fingerprint), showBytes(r.Metadata))
	if r.State == backend.Completed || len(r.Outcome) > 0 {
		fmt.Fprintf(&b, " outcome=%s", showBytes(r.Outcome))
	}
	if r.LeaseLeft != 0 {
		fmt.Fprintf(&b, " leaseLeft=%v", r.LeaseLeft)
	}
	if r.Remaining != 0 {
		fmt.Fprintf(&b, " remaining=%v", r.Remaining)
	}
	return b.String() + "}"
}

func showBytes(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%q... (%d bytes)", b[:32], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// difference names the first field that differs, durations left out. Nil and
// empty slices are the same.
func difference(got, want backend.Record) string {
	switch {
	case got.State != want.State:
		return fmt.Sprintf("its State is %v, want %v", got.State, want.State)
	case got.Token != want.Token:
		return fmt.Sprintf("its Token is %x, want %x", got.Token, want.Token)
	case got.Attempt != want.Attempt:
		return fmt.Sprintf("its Attempt is %d, want %d", got.Attempt, want.Attempt)
	case got.Fence != want.Fence:
		return fmt.Sprintf("its Fence is %d, want %d", got.Fence, want.Fence)
	case !bytes.Equal(got.Fingerprint, want.Fingerprint):
		return fmt.Sprintf("its Fingerprint is %s, want %s", showBytes(got.Fingerprint), showBytes(want.Fingerprint))
	case !bytes.Equal(got.Metadata, want.Metadata):
		return fmt.Sprintf("its Metadata is %s, want %s", showBytes(got.Metadata), showBytes(want.Metadata))
	case !bytes.Equal(got.Outcome, want.Outcome):
		return fmt.Sprintf("its Outcome is %s, want %s", showBytes(got.Outcome), showBytes(want.Outcome))
	default:
		return ""
	}
}

// is expects the record to be want, durations left out.
func (r *rig) is(what string, got, want backend.Record) {
	r.Helper()
	if d := difference(got, want); d != "" {
		r.failf("%s: %s; the record is %s", what, d, show(got))
	}
}

// stands expects the record of the key, as both connections read it, to be want,
// durations left out.
func (r *rig) stands(what, key string, want backend.Record) {
	r.Helper()
	r.is(what+", as the process that did it reads it", r.fetch(r.a, key), want)
	r.is(what+", as another process reads it", r.fetch(r.b, key), want)
}

// unknown expects the store to know nothing of the key.
func (r *rig) unknown(what, key string) {
	r.Helper()
	r.stands(what, key, backend.Record{})
}

// unchanged expects what do does to change nothing of the key: not a field, not
// the lease, not how long the record is kept.
func (r *rig) unchanged(what, key string, do func()) {
	r.Helper()
	start := time.Now()
	before := r.fetch(r.b, key)
	do()
	after := r.fetch(r.b, key)
	elapsed := time.Since(start)
	if d := difference(after, before); d != "" {
		r.failf("%s changed the record: %s; it was %s", what, d, show(before))
	}
	r.sameLeft(what, "LeaseLeft", before.LeaseLeft, after.LeaseLeft, elapsed)
	r.sameLeft(what, "Remaining", before.Remaining, after.Remaining, elapsed)
}

func (r *rig) sameLeft(what, field string, before, after, elapsed time.Duration) {
	r.Helper()
	if after > before+slack {
		r.failf("%s changed %s: it was %v and is %v", what, field, before, after)
	}
	if after < before-elapsed-slack {
		r.failf("%s changed %s: it was %v and is %v, only %v later", what, field, before, after, elapsed)
	}
}

// about expects a duration that was set to want since start to be that, less what
// may have gone by.
func (r *rig) about(what string, got, want time.Duration, start time.Time) {
	r.Helper()
	if got > want+slack || got < want-time.Since(start)-slack {
		r.failf("%s is %v, want %v less the time since it was set", what, got, want)
	}
}

// Requests that most rules send. Rules change what they are about.

func taking(token backend.Token) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: token, Lease: long, Keep: keep, Fingerprint: []byte("fingerprint"), Metadata: []byte("metadata"),
	}
}

func takingSeen(token backend.Token, seen uint64) backend.ClaimRequest {
	request := taking(token)
	request.Seen = seen
	return request
}

// renewal extends the claim that the record stands for.
func renewal(held backend.Record, lease time.Duration) backend.ClaimRequest {
	return backend.ClaimRequest{
		Token: held.Token, Lease: lease, Keep: keep, Renewal: true, Fence: held.Fence, Attempt: held.Attempt,
		Fingerprint: held.Fingerprint, Metadata: held.Metadata,
	}
}

// foreign changes all that a request must not bring into a record that exists.
func foreign(request backend.ClaimRequest) backend.ClaimRequest {
	request.Lease, request.Keep = 17*time.Minute, 7*keep
	request.Fingerprint, request.Metadata = []byte("another fingerprint"), []byte("other metadata")
	return request
}

func ending(token backend.Token, end backend.Ending) backend.CommitRequest {
	request := backend.CommitRequest{Token: token, Ending: end}
	if end == backend.Complete {
		request.Outcome, request.Retention = []byte("outcome"), retention
	} else {
		request.Keep = keep
	}
	return request
}

func completing(token backend.Token, outcome []byte) backend.CommitRequest {
	request := ending(token, backend.Complete)
	request.Outcome = outcome
	return request
}

// stray changes all of a commit that matters only where the key is unknown, and
// how long the record is kept.
func stray(request backend.CommitRequest) backend.CommitRequest {
	request.LeaseHeld = true
	request.Fingerprint, request.Metadata = []byte("another fingerprint"), []byte("other metadata")
	request.Attempt, request.Fence = 77, 77_000
	if request.Ending == backend.Complete {
		request.Retention = 3 * retention
	} else {
		request.Keep = 3 * keep
	}
	return request
}

// held is the record that a taking makes of a key, durations left out.
func held(request backend.ClaimRequest, attempt uint32, fence uint64) backend.Record {
	return backend.Record{
		State: backend.Claimed, Token: request.Token, Attempt: attempt, Fence: fence,
		Fingerprint: request.Fingerprint, Metadata: request.Metadata,
	}
}

// in is the record in another state.
func in(record backend.Record, state backend.State) backend.Record {
	record.State, record.LeaseLeft, record.Remaining = state, 0, 0
	return record
}

func completed(record backend.Record, outcome string) backend.Record {
	record = in(record, backend.Completed)
	record.Outcome = []byte(outcome)
	return record
}
