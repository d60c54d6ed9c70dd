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

func (c refusing) Append(dst []byte, _ any) ([]byte, error) {
	if c.panics {
		panic("no")
	}
	return dst, errors.New("refused")
}

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
