package conformance

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/backend"
)

var badDurations = []time.Duration{0, -1, 1, time.Millisecond - 1, -time.Hour, math.MinInt64, backend.MaxDuration + 1, math.MaxInt64}

// refused expects changed requests to be ErrInvalid and to leave the key alone,
// where it is unknown, claimed by the request's token and claimed by another.
func (r *rig) refused(what string, claim func(*backend.ClaimRequest), commit func(*backend.CommitRequest)) {
	r.Helper()
	unknown, own, others := r.key(), r.key(), r.key()
	token := r.token()
	r.take(r.a, own, taking(token))
	r.take(r.a, others, taking(r.token()))
	for _, key := range []string{unknown, own, others} {
		r.unchanged(what, key, func() {
			ctx, cancel := r.ctx()
			defer cancel()
			if claim != nil {
				for _, request := range []backend.ClaimRequest{
					foreign(taking(token)), foreign(renewal(backend.Record{Token: token, Attempt: 1, Fence: 1}, long)),
				} {
					before := fmt.Sprintf("%+v", request)
					claim(&request)
					if fmt.Sprintf("%+v", request) == before {
						continue // what is wrong doesn't concern this kind of claim
					}
					if record, err := r.a.Claim(ctx, key, request); !errors.Is(err, backend.ErrInvalid) {
						r.failf("a claim (renewal: %v) with %s returned %s, %v; want an error that is ErrInvalid", request.Renewal, what, show(record), err)
					}
				}
			}
			if commit != nil {
				for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
					request := stray(ending(token, end))
					before := fmt.Sprintf("%+v", request)
					commit(&request)
					if fmt.Sprintf("%+v", request) == before {
						continue // what is wrong doesn't concern this ending
					}
					if err := r.a.Commit(ctx, key, request); !errors.Is(err, backend.ErrInvalid) {
						r.failf("Commit (%v) with %s returned %v; want an error that is ErrInvalid", end, what, err)
					}
				}
			}
		})
	}
}

var boundsRules = []Rule{
	{
		Name:  "Bounds/Durations",
		Prose: "A Lease, Keep or Retention that is zero, negative, below MinDuration or above MaxDuration is ErrInvalid, and the record is as it was: not shortened, not deleted.",
		Mend:  "call Check on every request before anything else; a time to live of 0 deletes in some stores.",
		run: func(r *rig) {
			for _, d := range badDurations {
				r.refused(fmt.Sprintf("the Lease %v", d), func(c *backend.ClaimRequest) { c.Lease = d }, nil)
				r.refused(fmt.Sprintf("the Keep %v", d), func(c *backend.ClaimRequest) { c.Keep = d }, func(c *backend.CommitRequest) {
					if c.Ending != backend.Complete {
						c.Keep = d
					}
				})
				r.refused(fmt.Sprintf("the Retention %v", d), nil, func(c *backend.CommitRequest) {
					if c.Ending == backend.Complete {
						c.Retention = d
					}
				})
			}
		},
	},
	{
		Name:  "Bounds/LongestDurations",
		Prose: "A Lease, Keep and Retention of MaxDuration are taken, and reported as what they are.",
		Mend:  "the sum of Lease and Keep must not overflow, nor the store's unit.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease, request.Keep = backend.MaxDuration, backend.MaxDuration
			start := time.Now()
			r.take(r.a, key, request)
			got := r.fetch(r.b, key)
			r.about("LeaseLeft", got.LeaseLeft, backend.MaxDuration, start)
			r.about("Remaining", got.Remaining, 2*backend.MaxDuration, start)
			commit := ending(request.Token, backend.Complete)
			commit.Retention = backend.MaxDuration
			start = time.Now()
			r.commit(r.a, key, commit)
			r.about("Remaining", r.fetch(r.b, key).Remaining, backend.MaxDuration, start)
		},
	},
	{
		Name:  "Bounds/ShortestDurations",
		Prose: "A Lease, Keep and Retention of MinDuration are taken; they end soon, and what they leave is what longer ones leave.",
		Mend:  "a store that counts in a coarser unit rounds up, never to nothing.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = backend.MinDuration
			record := r.take(r.a, key, request)
			r.is("after the shortest lease", r.lapse(r.b, key, r.lease), in(record, backend.Abandoned))
			for _, end := range []backend.Ending{backend.Abandon, backend.Release, backend.Complete} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				commit := ending(record.Token, end)
				if end == backend.Complete {
					commit.Retention = backend.MinDuration
				} else {
					commit.Keep = backend.MinDuration
				}
				r.commit(r.a, key, commit)
				r.forgotten(r.b, key, r.lease)
			}
		},
	},
	{
		Name:  "Bounds/FractionsRoundUp",
		Prose: "Fractions of a millisecond in a Lease, Keep or Retention round up or are kept, never down.",
		Mend:  "use backend.Milliseconds, or a finer unit.",
		run: func(r *rig) {
			const odd = time.Hour + time.Millisecond + 1
			key, request := r.key(), taking(r.token())
			request.Lease, request.Keep = odd, odd
			r.take(r.a, key, request)
			r.notBelow("LeaseLeft", func() time.Duration { return r.fetch(r.b, key).LeaseLeft }, odd)
			r.notBelow("Remaining of the claim", func() time.Duration { return r.fetch(r.b, key).Remaining }, 2*odd)
			for _, end := range []backend.Ending{backend.Abandon, backend.Release, backend.Complete} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				commit := ending(record.Token, end)
				if end == backend.Complete {
					commit.Retention = odd
				} else {
					commit.Keep = odd
				}
				r.commit(r.a, key, commit)
				r.notBelow("Remaining after "+end.String(), func() time.Duration { return r.fetch(r.b, key).Remaining }, odd)
			}
		},
	},
	{
		Name:  "Bounds/IgnoredDurations",
		Prose: "Retention is ignored by Release and Abandon, and Keep by Complete, whatever they are.",
		Mend:  "check what the ending requires and nothing else.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{backend.Complete, backend.Release, backend.Abandon} {
				for _, d := range badDurations {
					key := r.key()
					record := r.take(r.a, key, taking(r.token()))
					request, want := ending(record.Token, end), time.Duration(keep)
					if end == backend.Complete {
						request.Keep, want = d, retention
					} else {
						request.Retention = d
					}
					start := time.Now()
					r.commit(r.a, key, request)
					r.about("Remaining", r.fetch(r.b, key).Remaining, want, start)
				}
			}
		},
	},
	{
		Name:  "Bounds/FingerprintAndMetadata",
		Prose: "A fingerprint of MaxFingerprint and metadata of MaxMetadata bytes, of any value, are kept byte for byte through every ending; longer ones are ErrInvalid.",
		Mend:  "the widths of the lengths, and conversions to text.",
		run: func(r *rig) {
			request := taking(r.token())
			request.Fingerprint, request.Metadata = random(backend.MaxFingerprint), random(backend.MaxMetadata)
			for end, state := range map[backend.Ending]backend.State{
				backend.Complete: backend.Completed, backend.Release: backend.Vacant, backend.Abandon: backend.Abandoned,
			} {
				key := r.key()
				request.Token = r.token()
				record := r.take(r.a, key, request)
				r.stands("claimed", key, held(request, 1, 1))
				commit := ending(request.Token, end)
				r.commit(r.a, key, commit)
				want := in(record, state)
				want.Outcome = commit.Outcome
				r.stands("after "+end.String(), key, want)
			}
			for _, b := range [][]byte{{0}, {0xff}, []byte("\r\n"), []byte("a\x00b"), {0, 0, 0}} {
				key, request := r.key(), taking(r.token())
				request.Fingerprint, request.Metadata = b, b
				r.take(r.a, key, request)
				r.stands("claimed", key, held(request, 1, 1))
			}
			r.refused("a fingerprint of 65 bytes",
				func(c *backend.ClaimRequest) { c.Fingerprint = make([]byte, backend.MaxFingerprint+1) },
				func(c *backend.CommitRequest) { c.Fingerprint = make([]byte, backend.MaxFingerprint+1) })
			r.refused("metadata of 4097 bytes",
				func(c *backend.ClaimRequest) { c.Metadata = make([]byte, backend.MaxMetadata+1) },
				func(c *backend.CommitRequest) { c.Metadata = make([]byte, backend.MaxMetadata+1) })
		},
	},
	{
		Name:  "Bounds/Tokens",
		Prose: "A claim or commit with the zero Token is ErrInvalid; every other token is one, compared whole.",
		Mend:  "call Check; keep all 16 bytes, of any value.",
		run: func(r *rig) {
			r.refused("the zero Token", func(c *backend.ClaimRequest) { c.Token = backend.Token{} }, func(c *backend.CommitRequest) { c.Token = backend.Token{} })
			for i := range 16 {
				key, request := r.key(), taking(backend.Token{})
				request.Token[i] = 1
				record := r.take(r.a, key, request)
				r.stands("claimed", key, held(request, 1, 1))
				other := r.token()
				copy(other[:], request.Token[:])
				other[i] ^= 0xff
				r.superseded(r.b, key, ending(other, backend.Complete))
				r.is("another token's claim", r.claim(r.b, key, taking(other)), record)
				r.commit(r.b, key, ending(request.Token, backend.Complete))
			}
		},
	},
	{
		Name:  "Bounds/Fences",
		Prose: "A Fence or Seen of MaxFence or more is ErrInvalid, and so is a renewal with Fence 0 or Attempt 0.",
		Mend:  "call Check on every request before anything else.",
		run: func(r *rig) {
			for _, fence := range []uint64{backend.MaxFence, math.MaxUint64} {
				r.refused("a Fence out of bounds", func(c *backend.ClaimRequest) { c.Fence = fence }, func(c *backend.CommitRequest) { c.Fence = fence })
				r.refused("a Seen out of bounds", func(c *backend.ClaimRequest) {
					if !c.Renewal {
						c.Seen = fence
					}
				}, nil)
			}
			r.refused("a renewal with Fence 0", func(c *backend.ClaimRequest) { *c = renewal(backend.Record{Token: c.Token, Attempt: 1}, long) }, nil)
			r.refused("a renewal with Attempt 0", func(c *backend.ClaimRequest) { *c = renewal(backend.Record{Token: c.Token, Fence: 1}, long) }, nil)
		},
	},
	{
		Name:  "Bounds/Endings",
		Prose: "An Ending that is none of the three is ErrInvalid, and so is an outcome with Release or Abandon.",
		Mend:  "call Check on every request before anything else.",
		run: func(r *rig) {
			for _, end := range []backend.Ending{0, backend.Abandon + 1, 255} {
				r.refused(fmt.Sprintf("the Ending %d", end), nil, func(c *backend.CommitRequest) { c.Ending = end })
			}
			r.refused("an outcome without Complete", nil, func(c *backend.CommitRequest) {
				if c.Ending != backend.Complete {
					c.Outcome = []byte("outcome")
				}
			})
		},
	},
}

// notBelow expects what read says to be at least want, less the time that has
// gone by on the store's clock since it was set, which is none where the test
// moves that clock.
func (r *rig) notBelow(what string, read func() time.Duration, want time.Duration) {
	r.Helper()
	start := time.Now()
	got := read()
	passed := time.Duration(0)
	if r.h.Advance == nil {
		passed = time.Since(start) + slack
	}
	if got < want-passed {
		r.failf("%s is %v, want at least %v", what, got, want)
	}
}
