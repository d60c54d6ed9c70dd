package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/conformance/faults"
	"github.com/reprise-go/reprise/idempotency"
)

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
