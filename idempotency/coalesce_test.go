package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

func TestCallersOfOneKeyShareOneClaim(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		var calls []<-chan answer[string]
		for range 10_000 {
			calls = append(calls, start(t.Context(), charge, key("k"), takes(time.Second, "paid", &runs)))
		}
		executed := 0
		for _, call := range calls {
			a := <-call
			if !a.Replayed {
				executed++
			}
			wantAnswer(t, a, "paid", a.Replayed)
		}
		runs.want(t, 1)
		if executed != 1 {
			t.Errorf("%d callers say that their action ran", executed)
		}
		if n := len(p.log.of(nil)); n != 2 {
			t.Errorf("%d requests were sent, want a claim and a commit", n)
		}
		r.idle(p)
	})
}

func TestFollowersGetTheirOwnCopy(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Codec: codec.Raw})
		read := operation(t, p, idempotency.OperationOptions[[]byte]{})
		made := []byte("answer")
		var lead, follow []<-chan answer[[]byte]
		action := func(context.Context) ([]byte, error) { time.Sleep(time.Second); return made, nil }
		lead = append(lead, start(t.Context(), read, key("k"), action))
		synctest.Wait()
		for range 50 {
			follow = append(follow, start(t.Context(), read, key("k"), action))
		}
		if a := <-lead[0]; &a.Value[0] != &made[0] {
			t.Error("the leader didn't get what its action returned, but a copy")
		}
		clear(made)
		var got [][]byte
		for _, call := range follow {
			a := <-call
			if string(a.Value) != "answer" {
				t.Fatalf("a follower got %q, %v", a.Value, a.err)
			}
			got = append(got, a.Value)
			for i := range a.Value {
				a.Value[i] = byte(len(got))
			}
		}
		for i, value := range got {
			if !bytes.Equal(value, bytes.Repeat([]byte{byte(i + 1)}, 6)) {
				t.Fatalf("follower %d sees what others wrote into theirs: %v", i, value)
			}
		}
		if a := <-start(t.Context(), read, key("k"), action); string(a.Value) != "answer" {
			t.Errorf("the record became %q", a.Value)
		}
	})
}

// Each follower has limits of its own; none of them touches the leader.
func TestFollowersHaveTheirOwnLimits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{Name: "charge"})
		refund := operation(t, p, idempotency.OperationOptions[string]{Name: "refund"})
		unnamed := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		action := takes(9*time.Second, "paid", &runs)
		leader := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, action)
		synctest.Wait()

		patient := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, action)
		noFingerprint := start(t.Context(), unnamed, key("k"), action)
		impatient := start(t.Context(), charge, idempotency.Call{Key: "k", WaitTimeout: 3 * time.Second}, action)
		ctx, cancel := context.WithCancel(t.Context())
		gone := start(ctx, charge, key("k"), action)
		time.AfterFunc(2*time.Second, cancel)
		time.Sleep(time.Second)

		for name, refused := range map[string]struct {
			got  answer[string]
			want error
		}{
			"another fingerprint": {<-start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, action), idempotency.ErrFingerprintMismatch},
			"another operation":   {<-start(t.Context(), refund, key("k"), action), idempotency.ErrFingerprintMismatch},
			"no wait":             {<-start(t.Context(), charge, idempotency.Call{Key: "k", NoWait: true}, action), idempotency.ErrInProgress},
		} {
			wantError(t, refused.got, refused.want)
			if refused.got.took != 0 {
				t.Errorf("%s: refused after %v, want at once", name, refused.got.took)
			}
			if refused.got.Attempt != 1 || refused.got.Fence == 0 {
				t.Errorf("%s: attempt %d, fence %d; want those of the holder", name, refused.got.Attempt, refused.got.Fence)
			}
		}
		a := <-impatient
		wantError(t, a, idempotency.ErrWaitTimeout)
		if a.took != 3*time.Second {
			t.Errorf("timed out after %v", a.took)
		}
		a = <-gone
		wantError(t, a, context.Canceled)
		if a.took != 2*time.Second {
			t.Errorf("returned after %v, want when its ctx ended", a.took)
		}
		wantAnswer(t, <-leader, "paid", false)
		wantAnswer(t, <-patient, "paid", true)
		wantAnswer(t, <-noFingerprint, "paid", true)
		runs.want(t, 1)
		if n := len(p.log.of(nil)); n != 2 {
			t.Errorf("%d requests, want only the leader's claim and commit", n)
		}
		r.idle(p)
	})
}

func TestInProgressTellsTheLeaseLeftHere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		leader := start(t.Context(), charge, key("k"), takes(25*time.Second, "paid", &runs))
		time.Sleep(4 * time.Second)
		leaseLeft := func() time.Duration {
			a := <-start(t.Context(), charge, idempotency.Call{Key: "k", NoWait: true}, takes(0, "", &runs))
			var inProgress *idempotency.InProgressError
			if !errors.As(a.err, &inProgress) || !errors.Is(a.err, idempotency.ErrInProgress) {
				t.Fatalf("got %v", a.err)
			}
			return inProgress.LeaseLeft
		}
		if left := leaseLeft(); left != lease-margin-4*time.Second {
			t.Errorf("%v are left", left)
		}
		time.Sleep(7 * time.Second) // renewed at 10 s
		if left := leaseLeft(); left != lease-margin-time.Second {
			t.Errorf("%v are left after a renewal, one second ago", left)
		}
		<-leader
	})
}

// Followers are answered from a confirmed commit or from the record.
func TestFollowersNeverGetAnUnconfirmedValue(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{Lease: lease, CommitTimeout: 5 * time.Second, WaitTimeout: 2 * time.Minute})
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			if time.Since(p.log.takings()[0].at) < lease {
				return faults.ErrUnknownOutcome
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		leader := start(t.Context(), charge, key("k"), returns("unconfirmed", &runs))
		synctest.Wait()
		follower := start(t.Context(), charge, key("k"), returns("second", &runs))
		a := <-leader
		var commitErr *idempotency.CommitError
		if a.Value != "unconfirmed" || !errors.As(a.err, &commitErr) {
			t.Errorf("the leader got %q, %v", a.Value, a.err)
		}
		b := <-follower
		wantAnswer(t, b, "second", false)
		if b.Attempt != 2 {
			t.Errorf("attempt %d, want the next one, after the lease of the first", b.Attempt)
		}
		runs.want(t, 2)
		r.idle(p)
	})
}

// Fingerprints are checked against whoever holds the key now, also when the
// holder changes while somebody waits.
func TestFollowerMeetsANewHolder(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		token := backend.Token{1}
		r.claimBy(token, "k", time.Hour) // without a fingerprint
		var runs counter
		leader := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, takes(20*time.Second, "paid", &runs))
		synctest.Wait()
		stranger := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("other", &runs))
		time.Sleep(5 * time.Second)
		r.endBy(token, "k", backend.Release)
		a := <-stranger
		wantError(t, a, idempotency.ErrFingerprintMismatch)
		if a.took != 5*time.Second {
			t.Errorf("refused after %v, want when the key got its new holder", a.took)
		}
		wantAnswer(t, <-leader, "paid", false)
		runs.want(t, 1)
	})
}

// A holder that is gone refuses nobody: who joins while the key is being claimed
// is compared with the next holder.
func TestGoneHolderRefusesNobody(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
		errBusy := errors.New("busy")
		elsewhere := operation(t, there, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
		holder := start(t.Context(), elsewhere, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, func(context.Context) (string, error) {
			time.Sleep(5 * time.Second)
			return "", errBusy
		})
		synctest.Wait()
		here.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			if n == 2 {
				time.Sleep(10 * time.Second)
			}
			return here.log.next.Claim(ctx, storageKey("k"), claim)
		}
		charge := operation(t, here, idempotency.OperationOptions[string]{})
		leader := start(t.Context(), charge, key("k"), returns("paid", new(counter)))
		time.Sleep(7 * time.Second)
		<-holder
		joined := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("again", new(counter)))
		patient := start(t.Context(), charge, idempotency.Call{Key: "k", NoWait: true}, returns("again", new(counter)))
		wantAnswer(t, <-leader, "paid", false)
		wantAnswer(t, <-joined, "paid", true)
		if a := <-patient; a.err != nil && !errors.Is(a.err, idempotency.ErrInProgress) || a.took != 8*time.Second {
			t.Errorf("refused with %v after %v, by a holder that is gone", a.err, a.took)
		}
		r.idle(here, there)
	})
}
