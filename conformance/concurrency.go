package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// together calls do n times at once, from half of the times through each
// connection, and returns when all have.
func (r *rig) together(n int, do func(ctx context.Context, i int, s backend.Backend)) {
	ctx, cancel := r.ctx()
	defer cancel()
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			do(ctx, i, []backend.Backend{r.a, r.b}[i%2])
		})
	}
	close(start)
	all.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

// oneWinner sends n claims at once, each with a token of its own, and expects one
// winner, whose record all losers are told.
func (r *rig) oneWinner(key string, n int, want backend.Record, request func() backend.ClaimRequest) {
	r.Helper()
	requests, records := make([]backend.ClaimRequest, n), make([]backend.Record, n)
	for i := range requests {
		requests[i] = request()
	}
	r.together(n, func(ctx context.Context, i int, s backend.Backend) {
		record, err := s.Claim(ctx, key, requests[i])
		if err != nil {
			r.errorf("a claim among %d returned the error %v", n, err)
		}
		records[i] = record
	})
	var winners []int
	for i, record := range records {
		if record.State == backend.Claimed && record.Token == requests[i].Token {
			winners = append(winners, i)
		}
	}
	if len(winners) != 1 {
		r.failf("of %d claims at once %d were told that they hold the key", n, len(winners))
	}
	want.Token = requests[winners[0]].Token
	for _, record := range records {
		r.is("the record that a claim was told", record, want)
	}
	r.stands("the record in the end", key, want)
}

var concurrencyRules = []Rule{
	{
		Name:  "Concurrency/OneClaimWins",
		Prose: "Of 100 claims of an unknown key at once, through several connections, exactly one gets it, and all others are told its record.",
		Mend:  "a claim must be one compare-and-swap in the store, not a read and then a write.",
		run: func(r *rig) {
			for range 3 {
				r.oneWinner(r.key(), 100, held(taking(backend.Token{}), 1, 1), func() backend.ClaimRequest { return taking(r.token()) })
			}
		},
	},
	{
		Name:  "Concurrency/OneTakeoverWins",
		Prose: "Of 50 takeovers at once that saw the same fence, of a lapsed, abandoned or released claim, exactly one gets the key.",
		Mend:  "compare Seen in the same step as the write.",
		run: func(r *rig) {
			ways := append(abandonments[:2:2], struct {
				name    string
				abandon func(r *rig, key string, token backend.Token, seen uint64) backend.Record
			}{"a released claim", func(r *rig, key string, token backend.Token, seen uint64) backend.Record {
				record := r.take(r.a, key, takingSeen(token, seen))
				r.commit(r.a, key, ending(token, backend.Release))
				return record
			}})
			for _, way := range ways {
				key := r.key()
				record := way.abandon(r, key, r.token(), 0)
				r.oneWinner(key, 50, held(taking(backend.Token{}), 2, record.Fence+1), func() backend.ClaimRequest {
					return takingSeen(r.token(), record.Fence)
				})
			}
		},
	},
	{
		Name:  "Concurrency/OneTakeoverWinsAtTheLeasesEnd",
		Prose: "Of many takeovers that are tried all the time while a lease ends, exactly one gets the key.",
		Mend:  "look at the lease in the same step as the write, by the store's clock.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			request.Lease = r.lease
			record := r.take(r.a, key, request)
			var mu sync.Mutex
			var winners []backend.Token
			contend := func(ctx context.Context, i int, s backend.Backend) {
				token := r.token()
				for {
					got, err := s.Claim(ctx, key, takingSeen(token, record.Fence))
					if err != nil {
						r.errorf("a takeover returned the error %v", err)
						return
					}
					if got.Token == token {
						mu.Lock()
						winners = append(winners, token)
						mu.Unlock()
					}
					// With a clock of the test's own one try is a round of all.
					if got.Token != record.Token || r.h.Advance != nil {
						return
					}
					time.Sleep(r.lease / 100)
				}
			}
			r.until("the key was taken over", r.lease, func() (time.Duration, bool) {
				r.together(16, contend)
				return r.lease / 4, len(winners) > 0
			})
			r.together(16, contend)
			if len(winners) != 1 {
				r.failf("%d takeovers were told that they hold the key", len(winners))
			}
			r.is("the record", r.fetch(r.b, key), backend.Record{
				State: backend.Claimed, Token: winners[0], Attempt: 2, Fence: record.Fence + 1,
				Fingerprint: record.Fingerprint, Metadata: record.Metadata,
			})
		},
	},
	{
		Name:  "Concurrency/RepeatedSendsAreOne",
		Prose: "The same claim sent 50 times at once is one claim: every reply says Claimed with attempt 1 and the same fence.",
		Mend:  "compare the token in the same step as the write.",
		run: func(r *rig) {
			key, request := r.key(), taking(r.token())
			r.together(50, func(ctx context.Context, i int, s backend.Backend) {
				record, err := s.Claim(ctx, key, request)
				if d := difference(record, held(request, 1, 1)); err != nil || d != "" {
					r.errorf("one of the repeated sends returned %s, %v", show(record), err)
				}
			})
			r.stands("the record", key, held(request, 1, 1))
		},
	},
	{
		Name:  "Concurrency/OneOutcomeWins",
		Prose: "Of 50 different outcomes that the holder's token commits at once exactly one is told success, and it is the record's; the commits of other tokens are all superseded.",
		Mend:  "compare token, state and outcome in the same step as the write.",
		run: func(r *rig) {
			for _, size := range []int{8, 50_000} {
				key := r.key()
				record := r.take(r.a, key, taking(r.token()))
				padding := string(make([]byte, size))
				var mu sync.Mutex
				var winners []string
				r.together(50, func(ctx context.Context, i int, s backend.Backend) {
					token, outcome := record.Token, fmt.Sprintf("%soutcome %d", padding, i)
					if i%3 == 0 {
						token = r.token()
					}
					err := s.Commit(ctx, key, stray(completing(token, []byte(outcome))))
					switch {
					case err == nil:
						mu.Lock()
						winners = append(winners, outcome)
						mu.Unlock()
						if token != record.Token {
							r.errorf("a commit by a token that doesn't hold the key was told success")
						}
					case !errors.Is(err, backend.ErrSuperseded):
						r.errorf("a commit returned %v", err)
					}
				})
				if len(winners) != 1 {
					r.failf("%d different outcomes were told success", len(winners))
				}
				r.stands("the record", key, completed(record, winners[0]))
			}
		},
	},
	{
		Name:  "Concurrency/CompleteOrRelease",
		Prose: "Of a Complete and a Release by the holder at once exactly one is told success, and the record says which.",
		Mend:  "compare the state in the same step as the write.",
		run: func(r *rig) {
			r.either(func(key string, record backend.Record) [2]func(context.Context, backend.Backend) error {
				return [2]func(context.Context, backend.Backend) error{
					func(ctx context.Context, s backend.Backend) error {
						return s.Commit(ctx, key, completing(record.Token, []byte("answer")))
					},
					func(ctx context.Context, s backend.Backend) error {
						return s.Commit(ctx, key, ending(record.Token, backend.Release))
					},
				}
			}, nil, func(record backend.Record) [2]backend.Record {
				return [2]backend.Record{completed(record, "answer"), in(record, backend.Vacant)}
			})
		},
	},
	{
		Name:  "Concurrency/CommitOrTakeover",
		Prose: "Of a commit by a holder that abandoned and a takeover at once exactly one has its way, and the record says which.",
		Mend:  "compare token and fence in the same step as the write.",
		run: func(r *rig) {
			next := taking(r.token())
			r.either(func(key string, record backend.Record) [2]func(context.Context, backend.Backend) error {
				r.commit(r.a, key, ending(record.Token, backend.Abandon))
				return [2]func(context.Context, backend.Backend) error{
					func(ctx context.Context, s backend.Backend) error {
						return s.Commit(ctx, key, completing(record.Token, []byte("answer")))
					},
					func(ctx context.Context, s backend.Backend) error {
						return lost(s.Claim(ctx, key, takingSeen(next.Token, record.Fence)))(next.Token)
					},
				}
			}, nil, func(record backend.Record) [2]backend.Record {
				return [2]backend.Record{completed(record, "answer"), held(next, 2, record.Fence+1)}
			})
		},
	},
	{
		Name:  "Concurrency/RevivalOrTakeover",
		Prose: "Of a renewal by a holder whose lease lapsed and a takeover at once exactly one gets the key, and the record says which.",
		Mend:  "compare token, fence and lease in the same step as the write.",
		run: func(r *rig) {
			next := taking(r.token())
			r.either(func(key string, record backend.Record) [2]func(context.Context, backend.Backend) error {
				shortened := renewal(record, r.lease)
				r.take(r.a, key, shortened)
				return [2]func(context.Context, backend.Backend) error{
					func(ctx context.Context, s backend.Backend) error {
						return lost(s.Claim(ctx, key, renewal(record, long)))(record.Token)
					},
					func(ctx context.Context, s backend.Backend) error {
						return lost(s.Claim(ctx, key, takingSeen(next.Token, record.Fence)))(next.Token)
					},
				}
			}, func(key string) { r.lapse(r.b, key, r.lease) }, func(record backend.Record) [2]backend.Record {
				return [2]backend.Record{record, held(next, 2, record.Fence+1)}
			})
		},
	},
	{
		Name:  "Concurrency/ClaimAndItsRelease",
		Prose: "A claim and its own release at once leave the key vacant by that token, whichever arrives first.",
		Mend:  "a release that comes first must leave a trace that its claim finds, in one step.",
		run: func(r *rig) {
			for range 40 {
				key, request := r.key(), taking(r.token())
				r.together(2, func(ctx context.Context, i int, s backend.Backend) {
					var err error
					if i == 0 {
						_, err = s.Claim(ctx, key, request)
					} else {
						err = s.Commit(ctx, key, ending(request.Token, backend.Release))
					}
					if err != nil {
						r.errorf("a claim, or its own release at the same time, returned %v", err)
					}
				})
				record := r.fetch(r.b, key)
				if record.State != backend.Vacant || record.Token != request.Token || record.Fence < 1 {
					r.failf("a claim and its own release at once left %s", show(record))
				}
			}
		},
	},
	{
		Name:  "Concurrency/ManyKeys",
		Prose: "Many keys that go through claim, renewal, commit and replay at once don't get in each other's way.",
		Mend:  "buffers, scratch memory and replies that calls share.",
		run: func(r *rig) {
			keys, wants := make([]string, 100), make([]backend.Record, 100)
			r.together(len(keys), func(ctx context.Context, i int, s backend.Backend) {
				key, request := r.key(), taking(r.token())
				request.Metadata, request.Fingerprint = random(1+i*7), random(1+i%64)
				want, outcome := held(request, 1, 1), string(random(i*131))
				step := func(name string, got backend.Record, err error, want backend.Record) {
					if d := difference(got, want); err != nil || d != "" {
						r.errorf("%s of one of many keys: %s %v; the record is %s", name, d, err, show(got))
					}
				}
				record, err := s.Claim(ctx, key, request)
				step("the claim", record, err, want)
				record, err = s.Claim(ctx, key, renewal(want, long))
				step("the renewal", record, err, want)
				if err := s.Commit(ctx, key, completing(request.Token, []byte(outcome))); err != nil {
					r.errorf("the commit of one of many keys returned %v", err)
				}
				record, err = r.b.Wait(ctx, key, request.Token)
				step("Wait", record, err, completed(want, outcome))
				record, err = r.a.Claim(ctx, key, taking(r.token()))
				step("the replay", record, err, completed(want, outcome))
				keys[i], wants[i] = key, completed(want, outcome)
			})
			for i, key := range keys {
				r.is("one of many keys in the end", r.fetch(r.b, key), wants[i])
			}
		},
	},
}

// lost turns a claim's reply into ErrSuperseded where the token didn't get the
// key.
func lost(record backend.Record, err error) func(backend.Token) error {
	return func(token backend.Token) error {
		if err == nil && record.Token != token {
			return backend.ErrSuperseded
		}
		return err
	}
}

// either does two things at once, on one key after another, and expects exactly
// one to succeed and the record to be what that one leaves. All keys are prepared
// first; ready, unless nil, is called when it is a key's turn.
func (r *rig) either(
	prepare func(key string, record backend.Record) [2]func(context.Context, backend.Backend) error,
	ready func(key string),
	leaves func(record backend.Record) [2]backend.Record,
) {
	r.Helper()
	type round struct {
		key    string
		record backend.Record
		do     [2]func(context.Context, backend.Backend) error
	}
	rounds := make([]round, 20)
	for i := range rounds {
		key := r.key()
		record := r.take(r.a, key, taking(r.token()))
		rounds[i] = round{key, record, prepare(key, record)}
	}
	for _, round := range rounds {
		if ready != nil {
			ready(round.key)
		}
		var errs [2]error
		r.together(2, func(ctx context.Context, i int, s backend.Backend) { errs[i] = round.do[i](ctx, s) })
		switch {
		case errs[0] == nil && errs[1] == nil:
			r.failf("both of two at once were told success; the record is %s", show(r.fetch(r.b, round.key)))
		case errs[0] != nil && errs[1] != nil:
			r.failf("both of two at once were refused, with %v and %v; the record is %s", errs[0], errs[1], show(r.fetch(r.b, round.key)))
		}
		for i, err := range errs {
			if err == nil {
				r.stands("the record", round.key, leaves(round.record)[i])
			} else if !errors.Is(err, backend.ErrSuperseded) {
				r.failf("one of two at once returned %v", err)
			}
		}
	}
}
