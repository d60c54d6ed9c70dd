package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

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
