package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

// The claim belongs to the flight: its leader's ctx ends, another caller goes on
// with the same token, whatever had become of the request.
func TestBatonCarriesTheToken(t *testing.T) {
	for name, applied := range map[string]bool{"applied": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.process(idempotency.Options{})
				p.log.onClaim = func(ctx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
					if n > 1 {
						return p.log.next.Claim(ctx, storageKey("k"), claim)
					}
					if applied {
						p.log.next.Claim(ctx, storageKey("k"), claim)
					}
					<-ctx.Done()
					return backend.Record{}, ctx.Err()
				}
				charge := operation(t, p, idempotency.OperationOptions[string]{})
				var first, second counter
				ctx, cancel := context.WithCancel(t.Context())
				leader := start(ctx, charge, key("k"), returns("first", &first))
				synctest.Wait()
				follower := start(t.Context(), charge, key("k"), returns("second", &second))
				other := start(t.Context(), charge, key("k"), returns("second", &second))
				synctest.Wait()
				cancel()
				wantError(t, <-leader, context.Canceled)
				a, b := <-follower, <-other
				wantAnswer(t, a, "second", a.Replayed)
				wantAnswer(t, b, "second", !a.Replayed)
				first.want(t, 0)
				second.want(t, 1)
				claims, commits := p.log.takings(), p.log.endings(backend.Complete)
				if len(claims) != 2 || len(commits) != 1 || claims[0].token != claims[1].token || commits[0].token != claims[0].token {
					t.Errorf("claims %v, commits %v; want the same token in all", claims, commits)
				}
				if n := len(p.log.of(nil)); n != 3 {
					t.Errorf("%d requests, want no release", n)
				}
				r.idle(p)
			})
		})
	}
}

// A claim that is held and was never used passes on without another request.
func TestOwnedClaimPassesOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		p.log.onClaim = func(claimCtx context.Context, n int, claim backend.ClaimRequest) (backend.Record, error) {
			record, err := p.log.next.Claim(claimCtx, storageKey("k"), claim)
			time.Sleep(time.Second) // the others join meanwhile
			cancel()
			return record, err
		}
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var first, second counter
		leader := start(ctx, charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("first", &first))
		synctest.Wait()
		stranger := start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("b")}, returns("other", &first))
		synctest.Wait()
		var followers []<-chan answer[string]
		for range 20 {
			followers = append(followers, start(t.Context(), charge, idempotency.Call{Key: "k", Fingerprint: []byte("a")}, returns("second", &second)))
		}
		wantError(t, <-leader, context.Canceled)
		wantError(t, <-stranger, idempotency.ErrFingerprintMismatch)
		for _, follower := range followers {
			a := <-follower
			wantAnswer(t, a, "second", a.Replayed)
		}
		first.want(t, 0)
		second.want(t, 1)
		if n := len(p.log.of(nil)); n != 2 {
			t.Errorf("%d requests, want one claim and one commit", n)
		}
		r.idle(p)
	})
}

// The last caller closes the flight before its release goes out: who calls while
// the release is on its way starts anew, with a token of its own.
func TestFlightClosesBeforeTheRelease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.LateCall(0))
		p.faults.OnNth(faults.Of(faults.Claim), 1, faults.Delay(time.Hour))
		charge := operation(t, p, idempotency.OperationOptions[string]{})
		var runs counter
		late := make(chan answer[string], 1)
		p.log.onCommit = func(ctx context.Context, n int, commit backend.CommitRequest) error {
			if n == 1 {
				late <- <-start(t.Context(), charge, key("k"), returns("paid", &runs))
			}
			return p.log.next.Commit(ctx, storageKey("k"), commit)
		}
		ctx, cancel := context.WithCancel(t.Context())
		call := start(ctx, charge, key("k"), returns("first", &runs))
		other := start(ctx, charge, key("k"), returns("first", &runs))
		time.Sleep(10 * time.Second)
		cancel()
		wantError(t, <-call, context.Canceled)
		wantError(t, <-other, context.Canceled)
		wantAnswer(t, <-late, "paid", false)
		p.faults.DeliverLate() // the first claim reaches the store after all
		wantAnswer(t, <-start(t.Context(), charge, key("k"), returns("again", &runs)), "paid", true)
		runs.want(t, 1)

		claims, releases := p.log.takings(), p.log.endings(backend.Release)
		if len(claims) != 4 || len(releases) != 1 {
			t.Fatalf("%d claims, %d releases", len(claims), len(releases))
		}
		if claims[0].token != claims[1].token || releases[0].token != claims[0].token {
			t.Error("the release names another token than the claim that it ends")
		}
		if claims[2].token == claims[0].token {
			t.Error("a call took over a token whose release was on its way")
		}
		if releases[0].commit.LeaseHeld {
			t.Error("LeaseHeld for a claim of unknown outcome")
		}
		r.idle(p)
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

// After a release one waiter becomes the leader, holding the claim; never all of
// them, here or in another process.
func TestHandOffToOneWaiter(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		here, there := r.process(idempotency.Options{}), r.process(idempotency.Options{})
		errBusy := errors.New("busy")
		ignore := idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return errors.Is(err, errBusy) }}
		chargeHere, chargeThere := operation(t, here, ignore), operation(t, there, ignore)
		var mu sync.Mutex
		var running atomic.Int32
		var runs int
		var lastFence uint64
		action := func(ctx context.Context) (string, error) {
			if running.Add(1) != 1 {
				t.Error("two actions at once")
			}
			defer running.Add(-1)
			execution, _ := idempotency.ExecutionOf(ctx)
			record := r.fetch("k")
			if record.State != backend.Claimed || record.Fence != execution.Fence || record.Attempt != execution.Attempt {
				t.Errorf("runs with fence %d while the key is %v with fence %d", execution.Fence, record.State, record.Fence)
			}
			mu.Lock()
			defer mu.Unlock()
			if execution.Fence <= lastFence {
				t.Errorf("fence %d after %d", execution.Fence, lastFence)
			}
			lastFence = execution.Fence
			runs++
			n := runs
			mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			if n < 100 {
				return "", fmt.Errorf("run %d: %w", n, errBusy)
			}
			return "paid", nil
		}
		var calls []<-chan answer[string]
		for range 1000 {
			calls = append(calls, start(t.Context(), chargeHere, key("k"), action), start(t.Context(), chargeThere, key("k"), action))
		}
		executed, ignored := 0, 0
		for _, call := range calls {
			switch a := <-call; {
			case errors.Is(a.err, errBusy):
				ignored++
			case !a.Replayed:
				executed++
				fallthrough
			default:
				wantAnswer(t, a, "paid", a.Replayed)
			}
		}
		if runs != 100 || ignored != 99 || executed != 1 {
			t.Errorf("%d runs, %d ignored, %d executed", runs, ignored, executed)
		}
		r.idle(here, there)
	})
}

// A call that comes while the release is on its way waits for it: nothing may
// run beside the action that is being cleaned up.
func TestNobodyStartsDuringTheRelease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.process(idempotency.Options{})
		errBusy := errors.New("busy")
		charge := operation(t, p, idempotency.OperationOptions[string]{IgnoreError: func(err error) bool { return err == errBusy }})
		p.faults.OnNth(faults.OfEnding(backend.Release), 1, faults.Delay(3*time.Second))
		var runs counter
		leader := start(t.Context(), charge, key("k"), func(context.Context) (string, error) { return "", errBusy })
		synctest.Wait()
		next := start(t.Context(), charge, key("k"), returns("paid", &runs))
		time.Sleep(2 * time.Second)
		runs.want(t, 0)
		if a := <-leader; a.err != errBusy {
			t.Errorf("the leader got %v", a.err)
		}
		a := <-next
		wantAnswer(t, a, "paid", false)
		if a.Attempt != 2 || len(p.log.takings()) != 2 {
			t.Errorf("attempt %d after %d claims, want the second, with one claim", a.Attempt, len(p.log.takings()))
		}
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
