package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

// The caller disconnects after the side effect: the answer is recorded all the
// same.
func TestCommitOutlivesTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{CommitTimeout: 7 * time.Second})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		type value struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), value{}, "seen"))
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			deadline, ok := ctx.Deadline()
			if ctx.Err() != nil || ctx.Value(value{}) != "seen" || !ok || time.Until(deadline) != 7*time.Second {
				t.Errorf("the commit's ctx: %v, value %v, deadline in %v", ctx.Err(), ctx.Value(value{}), time.Until(deadline))
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		a := <-start(ctx, charge, key("k"), func(context.Context) (string, error) { cancel(); return "paid", nil })
		wantAnswer(t, a, "paid", false)
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "paid", true)
		r.idle(p)
	})
}

// A commit whose outcome is unknown is repeated, the same each time.
func TestCommitIsRepeatedWhileUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		for _, fault := range []faults.Fault{faults.LoseReply, faults.NotApplied, faults.LateCall(time.Second), faults.LoseReply} {
			p.faults.OnNth(faults.Of(faults.Commit), 1, fault)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("paid", new(counter))), "paid", false)
		commits := p.log.endings(backend.Complete)
		if len(commits) != 5 {
			t.Fatalf("%d commits", len(commits))
		}
		for _, q := range commits {
			if q.token != commits[0].token || string(q.commit.Outcome) != string(commits[0].commit.Outcome) {
				t.Error("a repeated commit is another one")
			}
		}
	})
}

// After a commit of unknown outcome nothing is ever released.
func TestUnknownCommitIsNeverReleased(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: 10 * time.Second})
		silent := true
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			if silent {
				return faults.ErrUnknownOutcome
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		a := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
		var commitErr *idempotency.CommitError
		if a.Value != "paid" || a.Replayed || !errors.As(a.err, &commitErr) || !errors.Is(a.err, faults.ErrUnknownOutcome) {
			t.Errorf("got %q, %v; want the value and a CommitError that says why", a.Value, a.err)
		}
		if a.took < 9*time.Second || a.took > 10*time.Second {
			t.Errorf("gave up after %v", a.took)
		}
		r.idle(p)
		silent = false
		b := <-start(t.Context(), charge, key("k"), returns("again", &runs))
		wantAnswer(t, b, "again", false)
		if b.Attempt != 2 || b.took < 10*time.Second {
			t.Errorf("attempt %d after %v, want the second, after the lease", b.Attempt, b.took)
		}
		if n := len(p.log.endings(backend.Release)) + len(p.log.endings(backend.Abandon)); n != 0 {
			t.Errorf("%d releases", n)
		}
	})
}

// The store is silent during the commit and the caller's ctx ends: the call
// returns, the commit goes on, its lease is renewed meanwhile, and those who
// wait are answered once it is confirmed.
func TestCommitGoesOnInTheBackground(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: 3 * time.Second, CommitTimeout: time.Minute})
		p.log.onCommit = func(ctx context.Context, _ int, commit backend.CommitRequest) error {
			select {
			case <-time.After(20 * time.Second):
				return p.log.next.Commit(ctx, storageKey("k"), commit)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		ctx, cancel := context.WithCancel(t.Context())
		leader := start(ctx, charge, key("k"), returns("paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", &runs))
		time.Sleep(time.Second)
		cancel()
		a := <-leader
		var commitErr *idempotency.CommitError
		if a.took > time.Second+100*time.Millisecond || a.Value != "paid" || !errors.As(a.err, &commitErr) {
			t.Errorf("returned after %v with %q, %v", a.took, a.Value, a.err)
		}
		late := start(t.Context(), charge, key("k"), returns("again", &runs))
		time.Sleep(10 * time.Second)
		if record := r.fetch("k"); record.State != backend.Claimed {
			t.Errorf("the key is %v while its commit is under way", record.State)
		}
		wantAnswer(t, <-follower, "paid", true)
		wantAnswer(t, <-late, "paid", true)
		runs.want(t, 1)
		r.idle(p)
	})
}

// The same when the ctx has ended before the commit begins, and when nothing but
// the ctx of the commit ends it.
func TestSilentStoreHoldsNobody(t *testing.T) {
	errBusy := errors.New("busy")
	for name, action := range map[string]func(context.Context) (string, error){
		"complete": func(context.Context) (string, error) { return "paid", nil },
		"release":  func(context.Context) (string, error) { return "", errBusy },
		"abandon":  func(ctx context.Context) (string, error) { return "", ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Delay(time.Hour))
				charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
				ctx, cancel := context.WithCancel(t.Context())
				a := <-start(ctx, charge, key("k"), func(ctx context.Context) (string, error) { cancel(); return action(ctx) })
				if a.took > 100*time.Millisecond {
					t.Errorf("returned after %v", a.took)
				}
				synctest.Wait()
				time.Sleep(time.Second)
				want := map[string]backend.State{"complete": backend.Completed, "release": backend.Vacant, "abandon": backend.Abandoned}[name]
				if record := r.fetch("k"); record.State != want {
					t.Errorf("the key is %v, want %v: the ending is repeated in the background", record.State, want)
				}
				r.idle(p)
			})
		})
	}
}

// What is too large for the store becomes a marker, also when the store says so
// after the caller has gone.
func TestTooLargeInTheBackground(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			if n == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			if len(commit.Outcome) > 1000 {
				return fmt.Errorf("store: %w", backend.ErrTooLarge)
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithCancel(t.Context())
		large := strings.Repeat("x", 2000)
		var runs counter
		leader := start(ctx, charge, key("k"), returns(large, &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("again", &runs))
		synctest.Wait()
		cancel()
		if a := <-leader; a.Value != large {
			t.Errorf("the leader got %d bytes, %v", len(a.Value), a.err)
		}
		wantError(t, <-follower, idempotency.ErrNotKept)
		wantError(t, <-start(t.Context(), charge, key("k"), returns("again", &runs)), idempotency.ErrNotKept)
		runs.want(t, 1)
		r.idle(p)
	})
}

type refusing struct{ panics bool }

func (refusing) Name() string { return "refusing" }
func (c refusing) Append(dst []byte, _ any) ([]byte, error) {
	if c.panics {
		panic("no")
	}
	return dst, errors.New("refused")
}
func (refusing) Decode([]byte, any) error { return errors.New("refused") }

// An answer that can't be kept is committed as a marker: the key never runs
// again, the first caller has its value, everybody else a clear error.
func TestWhatCannotBeKept(t *testing.T) {
	for name, test := range map[string]struct {
		options idempotency.Options
		store   error
	}{
		"larger than MaxPayload":       {idempotency.Options{MaxPayload: 10}, nil},
		"refused by the codec":         {idempotency.Options{Codec: refusing{}}, nil},
		"the codec panics":             {idempotency.Options{Codec: refusing{panics: true}}, nil},
		"larger than the store allows": {idempotency.Options{}, backend.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(test.options)
				if test.store != nil {
					p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Fail(test.store))
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{Canonical: true})
				var runs counter
				leader := start(t.Context(), charge, key("k"), takes(time.Second, "a receipt that is long", &runs))
				synctest.Wait()
				follower := start(t.Context(), charge, key("k"), takes(0, "again", &runs))
				a := <-leader
				var commitErr *idempotency.CommitError
				if a.Value != "a receipt that is long" || !errors.As(a.err, &commitErr) || !errors.Is(a.err, idempotency.ErrNotKept) {
					t.Errorf("the leader got %q, %v", a.Value, a.err)
				}
				for _, b := range []answer[string]{<-follower, <-start(t.Context(), charge, key("k"), takes(0, "again", &runs))} {
					wantError(t, b, idempotency.ErrNotKept)
					var replayed *idempotency.ReplayedError
					if !errors.As(b.err, &replayed) {
						t.Errorf("%v is no replay", b.err)
					}
				}
				runs.want(t, 1)
				r.idle(p)
			})
		})
	}
}

// An answer that can't be decoded is an error; the record stays, and nothing
// runs.
func TestUndecodableIsNeverRunAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		text := operation(t, p, idempotency.OperationOptions[string]{})
		number := operation(t, p, idempotency.OperationOptions[int]{})
		raw := operation(t, p, idempotency.OperationOptions[[]byte]{Codec: codec.Raw})
		var runs counter
		leader := start(t.Context(), text, key("k"), takes(time.Second, "paid", &runs))
		synctest.Wait()
		follower := start(t.Context(), number, key("k"), returns(1, &runs))
		wantAnswer(t, <-leader, "paid", false)
		before := r.fetch("k")
		wantError(t, <-follower, idempotency.ErrUndecodable)
		wantError(t, <-start(t.Context(), number, key("k"), returns(1, &runs)), idempotency.ErrUndecodable)
		if a := <-start(t.Context(), raw, key("k"), returns([]byte("x"), &runs)); !errors.Is(a.err, idempotency.ErrUndecodable) || a.Value != nil || a.Replayed {
			t.Errorf("got %q, %v", a.Value, a.err)
		}
		runs.want(t, 1)
		if after := r.fetch("k"); after.State != backend.Completed || string(after.Outcome) != string(before.Outcome) {
			t.Errorf("the record became %+v", after)
		}
		if n := len(p.log.of(func(q request) bool { return q.verb == faults.Commit })); n != 1 {
			t.Errorf("%d commits", n)
		}
	})
}

// The holder was paused past its lease, and another took over.
func TestOvertaken(t *testing.T) {
	for name, test := range map[string]struct {
		ends  []backend.Ending
		want  error
		value string
	}{
		"by one that still runs":     {nil, idempotency.ErrLeaseLost, ""},
		"by one that released":       {[]backend.Ending{backend.Release}, idempotency.ErrLeaseLost, ""},
		"by one that abandoned":      {[]backend.Ending{backend.Abandon}, idempotency.ErrLeaseLost, ""},
		"by one that has its answer": {[]backend.Ending{backend.Complete}, nil, "winner"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				paused, other := r.process(idempotency.Options{Lease: lease}), r.process(idempotency.Options{Lease: lease})
				paused.log.onClaim = func(ctx context.Context, _ int, claim backend.ClaimRequest) (backend.Record, error) {
					if claim.Renewal {
						return backend.Record{}, faults.ErrUnknownOutcome
					}
					return paused.log.next.Claim(ctx, storageKey("k"), claim)
				}
				token := backend.Token{1}
				chargeHere := operation(t, paused, idempotency.OperationOptions[string]{})
				chargeThere := operation(t, other, idempotency.OperationOptions[string]{})
				call := start(t.Context(), chargeHere, key("k"), func(context.Context) (string, error) {
					time.Sleep(lease)
					if test.value != "" {
						wantAnswer(t, <-start(t.Context(), chargeThere, key("k"), returns(test.value, new(counter))), test.value, false)
						return "late", nil
					}
					r.claimBy(token, "k", time.Minute)
					for _, ending := range test.ends {
						r.endBy(token, "k", ending)
					}
					return "late", nil
				})
				synctest.Wait()
				follower := start(t.Context(), chargeHere, idempotency.Call{Key: "k", WaitTimeout: lease + 10*time.Second}, returns("follower", new(counter)))
				a := <-call
				if test.want != nil {
					wantError(t, a, test.want)
				} else {
					wantAnswer(t, a, test.value, true)
					if a.Attempt != 2 {
						t.Errorf("attempt %d, want the winner's", a.Attempt)
					}
					wantAnswer(t, <-follower, test.value, true)
				}
				if b := <-start(t.Context(), chargeHere, idempotency.Call{Key: "k", NoWait: true}, returns("next", new(counter))); b.Value == "late" {
					t.Error("the overtaken value was recorded")
				}
				if test.value == "" {
					if b := <-follower; b.Value == "late" {
						t.Error("a follower got the overtaken value")
					}
				}
				r.idle(paused, other)
			})
		})
	}
}

// The winner's outcome is the answer, whichever of the two is an error; for the
// one that was overtaken it is a replay.
func TestOvertakenByAnotherKindOfOutcome(t *testing.T) {
	errHere, errThere := errors.New("declined here"), errors.New("declined there")
	for name, test := range map[string]struct{ here, there error }{"an error": {nil, errThere}, "a value": {errHere, nil}, "another error": {errHere, errThere}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p, other := r.process(idempotency.Options{Lease: lease, MaxHold: time.Second}), r.process(idempotency.Options{Lease: lease})
				hooks := 0
				charge := operation(t, p, idempotency.OperationOptions[string]{
					OnExecuted:      func(context.Context, string, string) (string, error) { t.Error("OnExecuted"); return "", nil },
					OnFailed:        func(_ context.Context, _ string, err error) error { t.Error("OnFailed"); return err },
					OnReplayed:      func(_ context.Context, _ string, value string) (string, error) { hooks++; return value, nil },
					OnErrorReplayed: func(_ context.Context, _ string, err error) error { hooks++; return err },
				})
				there := operation(t, other, idempotency.OperationOptions[string]{})
				a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
					time.Sleep(lease)
					<-start(t.Context(), there, key("k"), func(context.Context) (string, error) { return "winner", test.there })
					return "late", test.here
				})
				if test.there != nil {
					wantReplayedText(errThere.Error())(t, a)
				} else {
					wantAnswer(t, a, "winner", true)
				}
				if hooks != 1 || a.Attempt != 2 {
					t.Errorf("%d hooks, attempt %d", hooks, a.Attempt)
				}
				r.idle(p, other)
			})
		})
	}
}

// An answer that isn't to be recorded is overtaken like any other: the caller
// must not get a value beside the key's.
func TestOvertakenWithoutRecording(t *testing.T) {
	for name, choice := range map[string]idempotency.RetentionChoice{"released": idempotency.DoNotRecord, "abandoned": idempotency.LeaveAbandoned} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p, other := r.process(idempotency.Options{Lease: lease, MaxHold: time.Second}), r.process(idempotency.Options{Lease: lease})
				charge := operation(t, p, idempotency.OperationOptions[string]{
					RetentionFor: func(string, error) idempotency.RetentionChoice { return choice },
				})
				there := operation(t, other, idempotency.OperationOptions[string]{})
				a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) {
					time.Sleep(lease)
					wantAnswer(t, <-start(t.Context(), there, key("k"), returns("winner", new(counter))), "winner", false)
					return "late", nil
				})
				wantAnswer(t, a, "winner", true)
				r.idle(p, other)
			})
		})
	}
}

// A commit that went on in the background and was never confirmed: followers
// start over, by the record; nothing is released.
func TestCommitFailsInTheBackground(t *testing.T) {
	for name, later := range map[string]error{"refused": backend.ErrPermanent, "unknown": faults.ErrUnknownOutcome} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease, WaitTimeout: time.Hour})
				p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
					switch {
					case n == 1:
						<-ctx.Done()
						return ctx.Err()
					case commit.Attempt == 1:
						return later
					}
					return p.log.next.Commit(ctx, storageKey("k"), commit)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithCancel(t.Context())
				leader := start(ctx, charge, key("k"), returns("unconfirmed", new(counter)))
				synctest.Wait()
				follower := start(t.Context(), charge, key("k"), returns("second", new(counter)))
				synctest.Wait()
				cancel()
				if a := <-leader; a.Value != "unconfirmed" || a.err == nil {
					t.Errorf("the leader got %q, %v", a.Value, a.err)
				}
				b := <-follower
				wantAnswer(t, b, "second", false)
				if b.Attempt != 2 || len(p.log.endings(backend.Release))+len(p.log.endings(backend.Abandon)) != 0 {
					t.Errorf("attempt %d after %+v", b.Attempt, p.log.of(nil))
				}
				r.idle(p)
			})
		})
	}
}

// The action changes what the call was made from: key and fingerprint are those
// of the start.
func TestActionChangesItsInput(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		fingerprint := []byte("a")
		call := idempotency.Call{Key: "k", Fingerprint: fingerprint, Metadata: map[string]string{"account": "1"}}
		wantAnswer(t, <-start(t.Context(), charge, call, func(ctx context.Context) (string, error) {
			fingerprint[0], call.Key, call.Metadata["account"] = 'x', "other", "2"
			r.store.Forget(ctx, storageKey("k")) // what follows is written anew
			return "paid", nil
		}), "paid", false)
		a := <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("again", new(counter)))
		wantAnswer(t, a, "paid", true)
		if a.Metadata["account"] != "1" {
			t.Errorf("metadata %v", a.Metadata)
		}
		wantError(t, <-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("x")}, returns("again", new(counter))), idempotency.ErrFingerprintMismatch)
	})
}

// A clean-up that fails never replaces what the action returned.
func TestFailingReleaseHidesNothing(t *testing.T) {
	errBusy := errors.New("busy")
	for name, fault := range map[string]faults.Fault{
		"refused":   faults.Fail(fmt.Errorf("acl: %w", backend.ErrPermanent)),
		"closed":    faults.Fail(backend.ErrClosed),
		"unknown":   faults.LoseReply,
		"not heard": faults.NotApplied,
		"overtaken": faults.Fail(backend.ErrSuperseded),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				for n := range 50 {
					p.faults.OnNth(faults.Of(faults.Commit), n+1, fault)
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return errors.Is(err, errBusy) }})
				own := fmt.Errorf("gateway: %w", errBusy)
				if a := <-start(t.Context(), charge, key("k"), func(context.Context) (string, error) { return "", own }); a.err != own {
					t.Errorf("ignored error: got %v", a.err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				a := <-start(ctx, charge, key("l"), func(ctx context.Context) (string, error) {
					cancel()
					return "", ctx.Err()
				})
				if a.err != context.Canceled {
					t.Errorf("own ctx: got %v", a.err)
				}
				time.Sleep(time.Minute)
				r.idle(p)
			})
		})
	}
}

// A store that refuses a commit for good isn't asked again.
func TestRefusedCommit(t *testing.T) {
	for _, final := range []error{backend.ErrPermanent, backend.ErrCorrupt, backend.ErrClosed, backend.ErrInvalid} {
		bubble(t, func(t *testing.T, r *rig) {
			p := r.process(idempotency.Options{})
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.Fail(fmt.Errorf("store: %w", final)))
			charge := operation(t, p, idempotency.OperationOptions[string]{})
			a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
			var commitErr *idempotency.CommitError
			if a.Value != "paid" || !errors.As(a.err, &commitErr) || !errors.Is(a.err, final) || a.took != 0 {
				t.Errorf("got %q, %v after %v", a.Value, a.err, a.took)
			}
			if n := len(p.log.of(nil)); n != 2 {
				t.Errorf("%d requests", n)
			}
			r.idle(p)
		})
	}
}

// An error of the call's own ctx is Abandon, not Release: the side effect may
// have happened.
func TestCutShortIsAbandoned(t *testing.T) {
	cause := errors.New("client gone")
	for name, action := range map[string]func(context.Context) error{
		"ctx.Err":       func(ctx context.Context) error { return fmt.Errorf("charge: %w", ctx.Err()) },
		"context.Cause": func(ctx context.Context) error { return fmt.Errorf("charge: %w", context.Cause(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				asked := 0
				strict := operation(t, p, idempotency.OperationOptions[string]{
					OnAbandoned: idempotency.Fail, IgnoreError: func(error) bool { asked++; return true },
				})
				rerun := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithCancelCause(t.Context())
				call := start(ctx, strict, key("k"), func(ctx context.Context) (string, error) {
					<-ctx.Done()
					return "", action(ctx)
				})
				synctest.Wait()
				follower := start(t.Context(), strict, key("k"), returns("paid", new(counter)))
				synctest.Wait()
				cancel(cause)
				if a := <-call; !errors.Is(a.err, context.Canceled) && !errors.Is(a.err, cause) || a.Replayed {
					t.Errorf("got %v", a.err)
				}
				wantError(t, <-follower, idempotency.ErrAbandoned)
				wantError(t, <-start(t.Context(), strict, key("k"), returns("paid", new(counter))), idempotency.ErrAbandoned)
				if asked != 0 {
					t.Error("IgnoreError was asked about the ctx's own error")
				}
				a := <-start(t.Context(), rerun, key("k"), returns("paid", new(counter)))
				wantAnswer(t, a, "paid", false)
				if n := len(p.log.endings(backend.Release)); n != 0 || a.Attempt != 2 {
					t.Errorf("%d releases, attempt %d", n, a.Attempt)
				}
				r.idle(p)
			})
		})
	}
}

// The same error while the ctx is alive is an outcome like others.
func TestForeignCtxErrorIsRecorded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		action := func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return "", ctx.Err()
		}
		if a := <-start(t.Context(), charge, key("k"), action); a.err != context.DeadlineExceeded {
			t.Errorf("got %v", a.err)
		}
		if state := r.fetch("k").State; state != backend.Completed {
			t.Errorf("the key is %v", state)
		}
	})
}

// A claim whose outcome stayed unknown when its last caller left: its end goes
// out in the background with the same token, and wins against the late claim.
func TestGivenUpClaim(t *testing.T) {
	for name, abandoned := range map[string]bool{"vacant": false, "takeover": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{Lease: lease})
				want, taking := backend.Release, 1
				if abandoned {
					r.abandon("k")
					want, taking = backend.Abandon, 2 // the first finds the record
				}
				late := make(chan struct{})
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if n != taking {
						return p.log.next.Claim(ctx, storageKey("k"), claim)
					}
					go func() {
						<-late
						p.log.next.Claim(context.WithoutCancel(ctx), storageKey("k"), claim)
						late <- struct{}{}
					}()
					<-ctx.Done()
					return backend.Record{}, ctx.Err()
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var runs counter
				a := <-start(ctx, charge, key("k"), returns("paid", &runs))
				wantError(t, a, context.DeadlineExceeded)
				if a.took != 5*time.Second {
					t.Errorf("returned after %v", a.took)
				}
				r.idle(p)
				claims, ends := p.log.takings(), p.log.endings(want)
				if len(claims) != taking || len(ends) != 1 || ends[0].token != claims[taking-1].token || ends[0].commit.LeaseHeld {
					t.Fatalf("%d claims, ends %+v; want one %v by the same token, without LeaseHeld", len(claims), ends, want)
				}
				late <- struct{}{}
				<-late
				if !abandoned {
					// The released token is dead: its late claim wedges nothing.
					b := <-start(t.Context(), charge, key("k"), returns("paid", &runs))
					wantAnswer(t, b, "paid", false)
					if b.took != 0 {
						t.Errorf("the key was blocked for %v", b.took)
					}
					runs.want(t, 1)
				}
				if used := p.log.takings(); len(used) > taking && used[taking].token == claims[taking-1].token {
					t.Error("a token whose release was sent was used again")
				}
			})
		})
	}
}

// The ending of a claim that was given up is repeated until it is confirmed, and
// not for longer than CommitTimeout.
func TestGivenUpClaimIsEndedStubbornly(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: time.Hour, CommitTimeout: 10 * time.Second})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		for range 5 {
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.NotApplied)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		wantError(t, <-start(ctx, charge, key("k"), returns("paid", new(counter))), context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		if record := r.fetch("k"); record.State != backend.Vacant || record.Unknown() {
			t.Errorf("the record is %+v, want a released one", record)
		}
		r.idle(p)

		for range 1000 {
			p.faults.OnNth(faults.Of(faults.Commit), 1, faults.NotApplied)
		}
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		wantError(t, <-start(ctx, charge, key("l"), returns("paid", new(counter))), context.DeadlineExceeded)
		time.Sleep(time.Minute)
		releases := p.log.endings(backend.Release)
		if last := releases[len(releases)-1].at.Sub(began); last > 11*time.Second {
			t.Errorf("the last release went out after %v", last)
		}
		r.idle(p)
	})
}

// A lost reply of a claim is not a lost claim: the same token asks again.
func TestUnknownClaimIsRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LoseReply)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.NotApplied)
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LateCall(time.Minute))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		a := <-start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		wantAnswer(t, a, "paid", false)
		claims := p.log.takings()
		if len(claims) != 4 || a.Attempt != 1 {
			t.Fatalf("%d claims, attempt %d", len(claims), a.Attempt)
		}
		for i, q := range claims {
			if q.token != claims[0].token || q.claim.Seen != 0 || q.claim.Renewal || string(q.claim.Metadata) != string(claims[0].claim.Metadata) {
				t.Errorf("claim %d is another one: %+v", i, q.claim)
			}
		}
		p.faults.DeliverLate()
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", new(counter))), "paid", true)
		r.idle(p)
	})
}
