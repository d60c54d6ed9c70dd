package linearizability

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
)

// The histories here are written by hand: each call with the interval of its
// milliseconds, which must differ from all others.

var (
	tokenA, tokenB, tokenC = backend.Token{1}, backend.Token{2}, backend.Token{3}
	errReset               = errors.New("connection reset")
)

const (
	lease = 100 * time.Millisecond
	kept  = 200 * time.Millisecond
)

func call(from, to int, o operation, record backend.Record, err error) *operation {
	o.key = "key"
	o.settle(record, err)
	o.begin, o.from = int64(from), time.Duration(from)*time.Millisecond
	o.returned, o.returnedAt = int64(to), time.Duration(to)*time.Millisecond
	o.end, o.to = o.returned, o.returnedAt
	if o.reply == lost {
		o.end, o.to = math.MaxInt64, forever
	}
	return &o
}

func take(token backend.Token, seen uint64) operation {
	return operation{verb: faults.Claim, token: token, claim: backend.ClaimRequest{
		Token: token, Seen: seen, Lease: lease, Keep: kept, Fingerprint: token[:1], Metadata: token[:2],
	}}
}

func renew(token backend.Token, attempt uint32, fence uint64) operation {
	o := take(token, 0)
	o.claim.Renewal, o.claim.Attempt, o.claim.Fence = true, attempt, fence
	return o
}

func end(token backend.Token, ending backend.Ending, held bool) operation {
	r := backend.CommitRequest{
		Token: token, Ending: ending, LeaseHeld: held, Keep: kept, Attempt: 1, Fence: 1, Fingerprint: token[:1], Metadata: token[:2],
	}
	if ending == backend.Complete {
		r.Keep, r.Retention, r.Outcome = 0, kept, []byte("answer")
	}
	return operation{verb: faults.Commit, token: token, commit: r}
}

func reading(verb faults.Verb, token backend.Token) operation {
	return operation{verb: verb, token: token}
}

func record(state backend.State, token backend.Token, attempt uint32, fence uint64) backend.Record {
	return backend.Record{State: state, Token: token, Attempt: attempt, Fence: fence, Fingerprint: token[:1], Metadata: token[:2]}
}

func with(r backend.Record, leaseLeft, remaining int, outcome string) backend.Record {
	r.LeaseLeft, r.Remaining = time.Duration(leaseLeft)*time.Millisecond, time.Duration(remaining)*time.Millisecond
	if outcome != "" {
		r.Outcome = []byte(outcome)
	}
	return r
}

var (
	claimedA   = record(backend.Claimed, tokenA, 1, 1)
	claimedB   = record(backend.Claimed, tokenB, 2, 2)
	completedA = with(record(backend.Completed, tokenA, 1, 1), 0, 0, "answer")
	none       = backend.Record{}
)

// histories are by hand what the contract says of each. The name of an illegal
// one is followed by a part of the line of the operation that can't follow.
var histories = []struct {
	name    string
	culprit string // empty: legal
	calls   []*operation
}{
	{"a claim, its commit and a replay", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(5, 6, take(tokenB, 0), completedA, nil),
		call(7, 8, reading(faults.Fetch, tokenB), with(completedA, 0, 196, "answer"), nil),
	}},
	{"two that claim at once", "", []*operation{
		call(1, 5, take(tokenA, 0), with(record(backend.Claimed, tokenB, 1, 1), 99, 0, ""), nil),
		call(2, 4, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
	}},
	{"two that win", "claim by", []*operation{
		call(1, 5, take(tokenA, 0), claimedA, nil),
		call(2, 4, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
	}},
	{"a takeover when the lease is over", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(110, 111, take(tokenB, 1), claimedB, nil),
	}},
	{"a takeover at the lease's end may win", "", []*operation{
		call(1, 10, take(tokenA, 0), claimedA, nil),
		call(99, 103, take(tokenB, 1), claimedB, nil),
	}},
	{"a takeover at the lease's end may lose", "", []*operation{
		call(1, 10, take(tokenA, 0), claimedA, nil),
		call(99, 103, take(tokenB, 1), with(claimedA, 5, 0, ""), nil),
	}},
	{"a takeover of a live lease", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(50, 51, take(tokenB, 1), claimedB, nil),
	}},
	{"a lease that never ends", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(150, 151, take(tokenB, 1), with(claimedA, 20, 0, ""), nil),
	}},
	{"a lease that is seen to be over and live again", "fetch", []*operation{
		call(1, 60, take(tokenA, 0), claimedA, nil),
		call(110, 111, reading(faults.Fetch, tokenB), with(record(backend.Abandoned, tokenA, 1, 1), 0, 150, ""), nil),
		call(130, 131, reading(faults.Fetch, tokenB), with(claimedA, 20, 220, ""), nil),
	}},
	{"a takeover of another fence than was seen", "claim by C", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(110, 111, take(tokenB, 1), claimedB, nil),
		call(220, 221, take(tokenC, 1), record(backend.Claimed, tokenC, 3, 3), nil),
	}},
	{"a takeover that isn't counted", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(110, 111, take(tokenB, 1), record(backend.Claimed, tokenB, 1, 2), nil),
	}},
	{"a fence that doesn't grow", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(110, 111, take(tokenB, 1), record(backend.Claimed, tokenB, 2, 1), nil),
	}},
	{"a lost reply may have been applied", "", []*operation{
		call(1, 2, take(tokenA, 0), none, errReset),
		call(3, 4, take(tokenB, 0), with(claimedA, 99, 0, ""), nil),
	}},
	{"or not", "", []*operation{
		call(1, 2, take(tokenA, 0), none, errReset),
		call(3, 4, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
	}},
	{"or late", "", []*operation{
		call(1, 2, take(tokenA, 0), none, errReset),
		call(3, 4, reading(faults.Fetch, tokenB), none, nil),
		call(500, 501, take(tokenB, 0), with(claimedA, 98, 0, ""), nil),
	}},
	{"but not earlier than it was sent", "fetch", []*operation{
		call(1, 2, reading(faults.Fetch, tokenB), with(claimedA, 99, 299, ""), nil),
		call(3, 4, take(tokenA, 0), none, errReset),
	}},
	{"a release that overtakes its claim", "", []*operation{
		call(1, 2, take(tokenA, 0), none, errReset),
		call(3, 4, end(tokenA, backend.Release, false), none, nil),
		call(5, 6, take(tokenA, 0), record(backend.Vacant, tokenA, 1, 1), nil),
	}},
	{"a released token that comes back", "claim by A", []*operation{
		call(1, 2, end(tokenA, backend.Release, false), none, nil),
		call(5, 6, take(tokenA, 1), record(backend.Claimed, tokenA, 2, 2), nil),
	}},
	{"an abandoned token that comes back", "renewal by A", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Abandon, false), none, nil),
		call(5, 6, renew(tokenA, 1, 1), claimedA, nil),
	}},
	{"a lapsed token that comes back", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(150, 151, renew(tokenA, 1, 1), claimedA, nil),
		call(160, 161, take(tokenB, 1), with(claimedA, 90, 0, ""), nil),
	}},
	{"a lapsed lease still commits", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(150, 151, end(tokenA, backend.Complete, false), none, nil),
	}},
	{"an overtaken commit", "complete by A", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(150, 151, take(tokenB, 1), claimedB, nil),
		call(160, 161, end(tokenA, backend.Complete, false), none, nil),
	}},
	{"a repeated complete", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, errReset),
		call(5, 6, end(tokenA, backend.Complete, false), none, nil),
		call(7, 8, end(tokenA, backend.Complete, true), none, nil),
	}},
	{"a repeated complete that is refused", "complete by A", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(5, 6, end(tokenA, backend.Complete, false), none, backend.ErrSuperseded),
	}},
	{"an answer after its retention", "fetch", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(250, 251, reading(faults.Fetch, tokenB), with(completedA, 0, 1, "answer"), nil),
	}},
	{"an answer that is forgotten early", "fetch", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(150, 151, reading(faults.Fetch, tokenB), none, nil),
	}},
	{"a key that is forgotten after lease and keep", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(302, 303, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
	}},
	{"LeaseHeld into an unknown key", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, reading(faults.Forget, backend.Token{}), none, nil),
		call(5, 6, end(tokenA, backend.Complete, true), none, nil),
		call(7, 8, reading(faults.Fetch, tokenB), with(completedA, 0, 198, "answer"), nil),
	}},
	{"LeaseHeld that isn't believed", "complete by A", []*operation{
		call(1, 2, end(tokenA, backend.Complete, true), none, backend.ErrSuperseded),
	}},
	{"a commit into an unknown key without LeaseHeld", "complete by A", []*operation{
		call(1, 2, end(tokenA, backend.Complete, false), none, nil),
	}},
	{"a fingerprint that is lost", "fetch", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(5, 6, reading(faults.Fetch, tokenB), backend.Record{
			State: backend.Completed, Token: tokenA, Attempt: 1, Fence: 1, Metadata: tokenA[:2], Outcome: []byte("answer"), Remaining: 198 * time.Millisecond,
		}, nil),
	}},
	{"metadata that is lost", "fetch", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, reading(faults.Fetch, tokenB), backend.Record{
			State: backend.Claimed, Token: tokenA, Attempt: 1, Fence: 1, Fingerprint: tokenA[:1], LeaseLeft: 98 * time.Millisecond, Remaining: 298 * time.Millisecond,
		}, nil),
	}},
	{"a lease that is longer than was asked for", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, take(tokenB, 9), with(claimedA, 150, 0, ""), nil),
	}},
	{"a claim that sees a lease over, and one that sees it live again", "claim by C", []*operation{
		call(1, 60, take(tokenA, 0), claimedA, nil),
		call(110, 111, take(tokenB, 9), record(backend.Abandoned, tokenA, 1, 1), nil),
		call(130, 131, take(tokenC, 9), with(claimedA, 20, 0, ""), nil),
	}},
	{"a replay after its retention", "claim by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Complete, false), none, nil),
		call(250, 251, take(tokenB, 0), completedA, nil),
	}},
	{"a trace that is as old as it was seen", "claim by C", []*operation{
		call(1, 2, end(tokenA, backend.Release, false), none, errReset),
		call(5, 6, take(tokenB, 9), record(backend.Vacant, tokenA, 1, 1), nil),
		call(400, 401, take(tokenC, 9), record(backend.Vacant, tokenA, 1, 1), nil),
	}},
	{"a commit in the time that its claim was applied in", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(10, 400, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
		call(20, 350, end(tokenB, backend.Complete, false), none, nil),
	}},
	{"a commit of before its claim can have been", "complete by B", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(10, 400, take(tokenB, 0), record(backend.Claimed, tokenB, 1, 1), nil),
		call(20, 250, end(tokenB, backend.Complete, false), none, nil),
	}},
	{"a Wait that sees the commit", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 6, reading(faults.Wait, tokenA), completedA, nil),
		call(4, 5, end(tokenA, backend.Complete, false), none, nil),
	}},
	{"a Wait that returns while the token holds the key", "wait for A", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 6, reading(faults.Wait, tokenA), with(claimedA, 97, 0, ""), nil),
	}},
	{"a Wait with a record of before", "wait for A", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, end(tokenA, backend.Abandon, false), none, nil),
		call(5, 6, take(tokenB, 1), claimedB, nil),
		call(7, 8, reading(faults.Wait, tokenA), record(backend.Abandoned, tokenA, 1, 1), nil),
	}},
	{"a Wait with the zero token", "", []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 4, reading(faults.Wait, backend.Token{}), with(claimedA, 98, 0, ""), nil),
	}},
}

func TestHistories(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			c := checker{tolerance: 5 * time.Millisecond, timeout: time.Minute, steps: maxSteps}
			sortByCall(h.calls)
			v := c.verdict(h.calls)
			if v.result == porcupine.Unknown || (v.result == porcupine.Illegal) != (h.culprit != "") {
				t.Fatalf("%s, want legal: %v\n%s", v.result, h.culprit == "", v.describe("key"))
			}
			if h.culprit == "" {
				return
			}
			said := v.describe("key")
			_, line, _ := strings.Cut(said, "  *  [")
			line, _, _ = strings.Cut(line, "\n")
			if !strings.Contains(line, h.culprit) {
				t.Errorf("it blames %q, want a %s\n%s", line, h.culprit, said)
			}
		})
	}
}

// TestTheShortestExplanation has a claim that matters, one that doesn't, and
// reads that have nothing to do with it.
func TestTheShortestExplanation(t *testing.T) {
	calls := []*operation{call(1, 2, take(tokenA, 0), claimedA, nil)}
	for i := 3; i < 60; i += 2 {
		calls = append(calls, call(i, i+1, reading(faults.Wait, backend.Token{}), with(claimedA, 101-i, 0, ""), nil))
	}
	calls = append(calls,
		call(61, 62, end(tokenB, backend.Complete, false), none, nil),
		call(63, 64, reading(faults.Fetch, tokenB), with(record(backend.Completed, tokenB, 1, 1), 0, 198, "answer"), nil),
	)
	c := checker{tolerance: 5 * time.Millisecond, timeout: time.Minute, steps: maxSteps}
	v := c.verdict(calls)
	if v.result != porcupine.Illegal || v.culprit != calls[len(calls)-2] || len(v.others) != 1 || v.others[0] != calls[0] {
		t.Errorf("%s", v.describe("key"))
	}
	for _, part := range []string{"complete by B", "success", "superseded", "claimed by A, attempt 1, fence 1", "it takes 2 to see that"} {
		if !strings.Contains(v.describe("key"), part) {
			t.Errorf("it doesn't say %q:\n%s", part, v.describe("key"))
		}
	}
}

// TestResends has a release that was applied, and answered when it was sent again.
func TestResends(t *testing.T) {
	calls := []*operation{
		call(1, 2, take(tokenA, 0), claimedA, nil),
		call(3, 20, end(tokenA, backend.Release, false), none, backend.ErrSuperseded),
		call(5, 6, take(tokenB, 1), claimedB, nil),
	}
	for resends, want := range []porcupine.CheckResult{porcupine.Illegal, porcupine.Ok, porcupine.Ok} {
		c := checker{tolerance: 5 * time.Millisecond, timeout: time.Minute, steps: maxSteps, resends: resends}
		if v := c.verdict(calls); v.result != want {
			t.Errorf("with %d resends: %s, want %s", resends, v.result, want)
		}
	}
}

// TestUndecided has more calls of unknown outcome than anybody can sort.
func TestUndecided(t *testing.T) {
	var calls []*operation
	for i := range 24 {
		token := backend.Token{byte(i + 10)}
		calls = append(calls, call(i+1, i+2, take(token, uint64(i)), none, errReset))
	}
	calls = append(calls, call(100, 101, reading(faults.Fetch, tokenA), with(record(backend.Claimed, tokenC, 99, 99), 50, 250, ""), nil))
	for name, c := range map[string]checker{
		"steps": {tolerance: time.Millisecond, timeout: time.Hour, steps: 10_000},
		"time":  {tolerance: time.Millisecond, timeout: 20 * time.Millisecond, steps: math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.verdict(calls)
			if v.result != porcupine.Unknown || !strings.Contains(v.describe("key"), "could not be decided") {
				t.Errorf("%s: %s", v.result, v.describe("key"))
			}
			l := &silent{TB: t}
			v.report(l, "key", Options{Dir: t.TempDir()}, "")
			if !l.failed {
				t.Error("it passed")
			}
		})
	}
}

// silent is a testing.TB that only takes note of a failure.
type silent struct {
	testing.TB
	failed bool
	said   string
}

func (s *silent) Errorf(format string, args ...any) {
	s.failed = true
	s.said = strings.TrimSpace(format)
}
