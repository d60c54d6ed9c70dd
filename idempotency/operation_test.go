package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/backends/memory"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

type receipt struct {
	ID     string
	Amount int64
}

func TestRunsOnceAndReplaysTheValue(t *testing.T) {
	store := newStore(t)
	action := &answers[receipt]{value: receipt{"ch_1", 4200}}
	for i := range 3 {
		// Every executor is another process on the same store.
		x := newExecutor(t, store, idempotency.Options{Namespace: "payments"})
		got, err := idempotency.Run(t.Context(), x, "payment-123", action.run)
		if err != nil || got != action.value {
			t.Errorf("call %d: %+v, %v", i, got, err)
		}
	}
	if action.runs != 1 {
		t.Errorf("the action ran %d times", action.runs)
	}
}

var errDeclined = errors.New("card declined")

func TestRecordsAndReplaysTheError(t *testing.T) {
	store := newStore(t)
	action := &answers[receipt]{err: fmt.Errorf("charge: %w", errDeclined), value: receipt{"ch_1", 1}}
	x := newExecutor(t, store, idempotency.Options{})
	got, err := idempotency.Run(t.Context(), x, "k", action.run)
	if err != action.err || got != (receipt{}) {
		t.Errorf("first call: %+v, %v; want the action's own error and no value", got, err)
	}
	for range 2 {
		x := newExecutor(t, store, idempotency.Options{})
		o := newOperation(t, x, idempotency.OperationOptions[receipt]{})
		result, err := o.Do(t.Context(), idempotency.Call{Key: "k"}, action.run)
		var replayed *idempotency.ReplayedError
		if !errors.As(err, &replayed) || err.Error() != "charge: card declined" {
			t.Fatalf("replay: %v (%T)", err, err)
		}
		if replayed.Attempt != 1 || replayed.TypeName != "*fmt.wrapError" || time.Since(replayed.At) > time.Minute {
			t.Errorf("replay: %+v", replayed)
		}
		var own *idempotency.Error
		if !errors.As(err, &own) || own.Step != "replay" {
			t.Errorf("a replayed error is no *idempotency.Error: %+v", own)
		}
		if !result.Replayed || result.Attempt != 1 || result.Fence == 0 || result.Value != (receipt{}) {
			t.Errorf("result beside the error: %+v", result)
		}
	}
	if action.runs != 1 {
		t.Errorf("the action ran %d times", action.runs)
	}
}

func TestExecHasNoValue(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	runs := 0
	for range 3 {
		if err := idempotency.Exec(t.Context(), x, "event-42", func(context.Context) error { runs++; return nil }); err != nil {
			t.Error(err)
		}
	}
	if runs != 1 {
		t.Errorf("the action ran %d times", runs)
	}
	if _, err := idempotency.Run(t.Context(), x, "event-42", mustNotRun[int](t)); !errors.Is(err, idempotency.ErrUndecodable) {
		t.Errorf("a record without a value gave a value: %v", err)
	}
}

func TestIgnoredErrorRunsAgain(t *testing.T) {
	busy := errors.New("busy")
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{
		IgnoreError: func(err error) bool { return errors.Is(err, busy) },
	})
	action := &answers[int]{err: fmt.Errorf("gateway: %w", busy)}
	for attempt := uint32(1); attempt <= 3; attempt++ {
		result, err := o.Do(t.Context(), idempotency.Call{Key: "k"}, action.run)
		if err != action.err || result.Replayed || result.Attempt != attempt {
			t.Errorf("attempt %d: %+v, %v", attempt, result, err)
		}
	}
	action.err, action.value = nil, 5
	result, err := o.Do(t.Context(), idempotency.Call{Key: "k"}, action.run)
	if err != nil || result.Value != 5 || result.Attempt != 4 || action.runs != 4 {
		t.Errorf("after the errors: %+v, %v, %d runs", result, err, action.runs)
	}
	if result, _ = o.Do(t.Context(), idempotency.Call{Key: "k"}, action.run); !result.Replayed {
		t.Errorf("the value wasn't recorded: %+v", result)
	}
}

func TestRetentionFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExecutor(t, newStore(t), idempotency.Options{Retention: time.Hour, Lease: time.Second, CommitTimeout: 2 * time.Second})
		o := newOperation(t, x, idempotency.OperationOptions[string]{
			RetentionFor: func(value string, err error) idempotency.RetentionChoice {
				switch {
				case err != nil && value != "":
					t.Error("a value beside an error")
				case value == "no":
					return idempotency.DoNotRecord
				case value == "minute":
					return idempotency.For(time.Minute)
				case value == "short":
					return idempotency.For(-5)
				case value == "ever":
					return idempotency.For(idempotency.Unlimited)
				case err != nil:
					return idempotency.For(10 * time.Second)
				}
				return idempotency.Default
			},
		})
		for _, test := range []struct {
			value string
			err   error
			want  time.Duration
		}{
			{"default", nil, time.Hour},
			{"minute", nil, time.Minute},
			{"short", nil, 2 * time.Second},
			{"ever", nil, idempotency.MaxRetention},
			{"", errDeclined, 10 * time.Second},
		} {
			key := "k" + test.value
			o.Run(t.Context(), key, (&answers[string]{value: test.value, err: test.err}).run)
			info, err := x.Lookup(t.Context(), key)
			if err != nil || info.State != backend.Completed || info.Remaining != test.want {
				t.Errorf("%q, %v: kept for %v, want %v (%+v, %v)", test.value, test.err, info.Remaining, test.want, info, err)
			}
		}
		action := &answers[string]{value: "no"}
		for range 2 {
			if v, err := o.Run(t.Context(), "kno", action.run); v != "no" || err != nil {
				t.Errorf("%q, %v", v, err)
			}
		}
		if action.runs != 2 {
			t.Errorf("DoNotRecord: %d runs", action.runs)
		}
	})
}

func TestAnyKeyBytesWorkAndNamespacesDoNotCollide(t *testing.T) {
	store := newStore(t)
	type pair struct{ namespace, key string }
	pairs := []pair{
		{"", "k"}, {"k", "k"}, {"a", "b:c"}, {"a:b", "c"}, {"a:", "b:c"}, {"", "a:b:c"}, {"ab", "c"}, {"a", "bc"},
		{"", "\x02abc"}, {"", "\n"}, {"", "\r\n"}, {"", "\x00"}, {"", "\x00\x00"}, {"", "{}"}, {"", "{x}"}, {"{x}", "x"},
		{"", "\xff\xfe"}, {"", " "}, {"", "k "}, {"", "K"}, {"", "é"}, {"", "e\u0301"},
		{"", strings.Repeat("k", 512)}, {strings.Repeat("n", 256), strings.Repeat("k", 512)}, {strings.Repeat("n", 255), "n" + strings.Repeat("k", 511)},
	}
	for i, p := range pairs {
		x := newExecutor(t, store, idempotency.Options{Namespace: p.namespace})
		if v, err := idempotency.Run(t.Context(), x, p.key, (&answers[int]{value: i}).run); v != i || err != nil {
			t.Errorf("%q: %v, %v", p, v, err)
		}
	}
	for i, p := range pairs {
		x := newExecutor(t, store, idempotency.Options{Namespace: p.namespace})
		if v, err := idempotency.Run(t.Context(), x, p.key, mustNotRun[int](t)); v != i || err != nil {
			t.Errorf("%q: %v, %v", p, v, err)
		}
	}
}

func TestErrorsNeverShowTheKey(t *testing.T) {
	const secret = "s3cr3t-k3y"
	x := newExecutor(t, newStore(t), idempotency.Options{})
	a := newOperation(t, x, idempotency.OperationOptions[int]{Name: "a"})
	b := newOperation(t, x, idempotency.OperationOptions[int]{Name: "b"})
	a.Do(t.Context(), idempotency.Call{Key: secret, Fingerprint: []byte("1")}, (&answers[int]{}).run)
	_, err1 := b.Run(t.Context(), secret, mustNotRun[int](t))
	_, err2 := a.Do(t.Context(), idempotency.Call{Key: secret, Fingerprint: []byte("2")}, mustNotRun[int](t))
	err3 := a.Resolve(t.Context(), secret, 1, nil)
	_, err4 := a.Run(t.Context(), strings.Repeat(secret, 100), mustNotRun[int](t))
	for _, err := range []error{err1, err2, err3, err4} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error: %v", err)
		}
	}
}

func TestOtherRequestOnTheSameKeyIsRefused(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	charge := newOperation(t, x, idempotency.OperationOptions[receipt]{Name: "charge"})
	refund := newOperation(t, x, idempotency.OperationOptions[receipt]{Name: "refund"})
	unnamed := newOperation(t, x, idempotency.OperationOptions[receipt]{})
	call := idempotency.Call{Key: "k", Fingerprint: []byte("100 EUR")}
	want := receipt{"ch_1", 100}
	if _, err := charge.Do(t.Context(), call, (&answers[receipt]{value: want}).run); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() (idempotency.Result[receipt], error){
		"another fingerprint": func() (idempotency.Result[receipt], error) {
			return charge.Do(t.Context(), idempotency.Call{Key: "k", Fingerprint: []byte("200 EUR")}, mustNotRun[receipt](t))
		},
		"another operation": func() (idempotency.Result[receipt], error) {
			return refund.Do(t.Context(), call, mustNotRun[receipt](t))
		},
	} {
		result, err := do()
		if !errors.Is(err, idempotency.ErrFingerprintMismatch) || result.Value != (receipt{}) || result.Replayed {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
		if result.Attempt != 1 || result.Fence == 0 {
			t.Errorf("%s: attempt and fence are missing: %+v", name, result)
		}
	}
	if _, err := refund.Do(t.Context(), call, mustNotRun[receipt](t)); !strings.Contains(err.Error(), "charge") {
		t.Errorf("the error doesn't name the operation that has the key: %v", err)
	}
	// Compared only where both sides have one.
	for _, c := range []idempotency.Call{call, {Key: "k"}} {
		if result, err := charge.Do(t.Context(), c, mustNotRun[receipt](t)); err != nil || result.Value != want {
			t.Errorf("identical request: %+v, %v", result, err)
		}
		if result, err := unnamed.Do(t.Context(), c, mustNotRun[receipt](t)); err != nil || result.Value != want {
			t.Errorf("operation without a name: %+v, %v", result, err)
		}
	}
}

// The action changes what key and fingerprint were made from; the identical
// retry must still find its record.
func TestKeyAndFingerprintAreMadeOnce(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{})
	fingerprint := []byte("before")
	_, err := o.Do(t.Context(), idempotency.Call{Key: "k", Fingerprint: fingerprint}, func(context.Context) (int, error) {
		copy(fingerprint, "AFTER!")
		return 1, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := o.Do(t.Context(), idempotency.Call{Key: "k", Fingerprint: []byte("before")}, mustNotRun[int](t)); err != nil || !v.Replayed {
		t.Errorf("identical retry: %+v, %v", v, err)
	}
}

func TestEveryCallerHasItsOwnCopy(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{Codec: codec.Raw})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, err := idempotency.Run(t.Context(), x, "k", func(context.Context) ([]byte, error) {
				return []byte("answer"), nil
			})
			if err != nil || string(got) != "answer" {
				t.Errorf("%q, %v", got, err)
			}
			for i := range got {
				got[i] = 'X'
			}
		})
	}
	wg.Wait()
	if got, _ := idempotency.Run(t.Context(), x, "k", mustNotRun[[]byte](t)); !bytes.Equal(got, []byte("answer")) {
		t.Errorf("a caller's scribble reached the record: %q", got)
	}
}

// Where somebody joins a replay, nobody may keep the record as it came: the
// leader's scribble would be the follower's answer.
func TestCallersOfOneReplayHaveTheirOwnCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowClaims{Backend: newStore(t)}
		x := newExecutor(t, store, idempotency.Options{Codec: codec.Raw})
		answer := &answers[[]byte]{value: []byte("answer")}
		var wg sync.WaitGroup
		var got [2][]byte
		for range 2 { // the second time it is a replay
			for i := range got {
				wg.Go(func() {
					var err error
					if got[i], err = idempotency.Run(t.Context(), x, "k", answer.run); err != nil || string(got[i]) != "answer" {
						t.Errorf("%q, %v", got[i], err)
					}
				})
			}
			wg.Wait()
			if &got[0][0] == &got[1][0] {
				t.Error("two callers have the same bytes")
			}
		}
		if answer.runs != 1 {
			t.Errorf("the action ran %d times", answer.runs)
		}
	})
}

// slowClaims leaves time to join the call whose claim is under way.
type slowClaims struct{ *memory.Backend }

func (s *slowClaims) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	time.Sleep(time.Millisecond)
	return s.Backend.Claim(ctx, key, request)
}

func TestExecutionIsInTheCtx(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[int]{
		Name: "charge", IgnoreError: func(err error) bool { return err == io.EOF },
	})
	var seen []idempotency.Execution
	for range 2 {
		result, _ := o.Do(t.Context(), idempotency.Call{Key: "k"}, func(ctx context.Context) (int, error) {
			e, ok := idempotency.ExecutionOf(ctx)
			if !ok {
				t.Error("no execution in the ctx")
			}
			seen = append(seen, e)
			return 0, io.EOF
		})
		last := seen[len(seen)-1]
		if last.Key != "k" || last.Operation != "charge" || last.Attempt != result.Attempt || last.Fence != result.Fence {
			t.Errorf("execution %+v, result %+v", last, result)
		}
	}
	if seen[1].Attempt != 2 || seen[1].Fence <= seen[0].Fence {
		t.Errorf("executions: %+v", seen)
	}
	if _, ok := idempotency.ExecutionOf(t.Context()); ok {
		t.Error("an execution outside of an action")
	}
}

func TestLookupTellsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExecutor(t, newStore(t), idempotency.Options{Retention: time.Hour, Keep: 2 * time.Hour, Lease: 10 * time.Second})
		o := newOperation(t, x, idempotency.OperationOptions[int]{Name: "charge", IgnoreError: func(err error) bool { return err == io.EOF }})
		if info, err := x.Lookup(t.Context(), "k"); err != nil || !reflect.DeepEqual(info, idempotency.Info{}) {
			t.Errorf("unknown key: %+v, %v", info, err)
		}
		began := time.Now()
		o.Run(t.Context(), "k", func(context.Context) (int, error) {
			info, err := x.Lookup(t.Context(), "k")
			if err != nil || info.State != backend.Claimed || info.Operation != "charge" || info.Attempt != 1 ||
				info.LeaseLeft != 10*time.Second || !info.ClaimedAt.Equal(began.Truncate(time.Millisecond)) {
				t.Errorf("running: %+v, %v", info, err)
			}
			return 0, io.EOF
		})
		if info, _ := x.Lookup(t.Context(), "k"); info.State != backend.Vacant || info.Attempt != 1 || info.Fence == 0 {
			t.Errorf("released: %+v", info)
		}
		o.Run(t.Context(), "k", (&answers[int]{value: 1}).run)
		time.Sleep(time.Minute)
		info, err := x.Lookup(t.Context(), "k")
		if err != nil || info.State != backend.Completed || info.Outcome != "value" || info.Attempt != 2 ||
			info.Remaining != 59*time.Minute || !info.CompletedAt.Equal(began.Truncate(time.Millisecond)) {
			t.Errorf("completed: %+v, %v", info, err)
		}
		o.Run(t.Context(), "e", (&answers[int]{err: errDeclined}).run)
		if info, _ := x.Lookup(t.Context(), "e"); info.Outcome != "error" {
			t.Errorf("error: %+v", info)
		}
		wantRefused(t, second(x.Lookup(t.Context(), "")), "0 bytes")
	})
}

func second[T any](_ T, err error) error { return err }

func TestForgetLetsTheKeyRunAgain(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	action := &answers[int]{value: 1}
	for range 2 {
		if _, err := idempotency.Run(t.Context(), x, "k", action.run); err != nil {
			t.Fatal(err)
		}
		if err := x.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if action.runs != 2 {
		t.Errorf("%d runs", action.runs)
	}
	if err := x.Forget(t.Context(), "unknown"); err != nil {
		t.Error(err)
	}
	wantRefused(t, x.Forget(t.Context(), ""), "0 bytes")
	idempotency.Exec(t.Context(), x, "running", func(context.Context) error {
		if err := x.Forget(t.Context(), "running"); !errors.Is(err, idempotency.ErrInProgress) {
			t.Errorf("forgot a running key: %v", err)
		}
		return nil
	})
	type verbs struct{ backend.Backend }
	without := newExecutor(t, verbs{newStore(t)}, idempotency.Options{})
	if err := without.Forget(t.Context(), "k"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a store without Forget: %v", err)
	}
}
