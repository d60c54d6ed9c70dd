package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/backend"
	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/idempotency"
)

// xor is a transform that can be seen through and that checks what it is bound
// to.
type xor struct{ key byte }

func (x *xor) Name() string { return fmt.Sprintf("xor%d", x.key) }

func (x *xor) Seal(dst, plain, associated []byte) ([]byte, error) {
	sum := byte(0)
	for _, b := range associated {
		sum = sum*31 + b
	}
	dst = append(dst, sum)
	for _, b := range plain {
		dst = append(dst, b^x.key)
	}
	return dst, nil
}

func (x *xor) Open(dst, sealed, associated []byte, limit int) ([]byte, error) {
	if len(sealed) == 0 || len(sealed)-1 > limit {
		return nil, errors.New("bad length")
	}
	check, err := x.Seal(nil, nil, associated)
	if err != nil || check[0] != sealed[0] {
		return nil, errors.New("bound to something else")
	}
	for _, b := range sealed[1:] {
		dst = append(dst, b^x.key)
	}
	return dst, nil
}

// upper is a codec of strings with another name than JSON.
type upper struct{}

func (upper) Name() string { return "upper" }
func (upper) Append(dst []byte, value any) ([]byte, error) {
	return append(dst, strings.ToUpper(value.(string))...), nil
}
func (upper) Decode(data []byte, into any) error { *into.(*string) = string(data); return nil }

func TestCodecOfTheOperationIsUsed(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	o := newOperation(t, x, idempotency.OperationOptions[string]{Codec: upper{}})
	if v, err := o.Run(t.Context(), "k", (&answers[string]{value: "hello"}).run); v != "hello" || err != nil {
		t.Errorf("the first caller gets what the action returned: %q, %v", v, err)
	}
	if v, err := o.Run(t.Context(), "k", mustNotRun[string](t)); v != "HELLO" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestAnotherCodecIsRefusedUnlessAccepted(t *testing.T) {
	x := newExecutor(t, newStore(t), idempotency.Options{})
	old := newOperation(t, x, idempotency.OperationOptions[string]{Codec: upper{}})
	old.Run(t.Context(), "k", (&answers[string]{value: "hello"}).run)
	other := newOperation(t, x, idempotency.OperationOptions[string]{Codec: codec.JSON})
	for range 2 {
		_, err := other.Run(t.Context(), "k", mustNotRun[string](t))
		if !errors.Is(err, idempotency.ErrUndecodable) || !strings.Contains(err.Error(), `"upper"`) {
			t.Errorf("%v", err)
		}
	}
	accepting := newOperation(t, x, idempotency.OperationOptions[string]{Codec: codec.JSON, Accept: []codec.Codec{upper{}}})
	if v, err := accepting.Run(t.Context(), "k", mustNotRun[string](t)); v != "HELLO" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestTransformsHideValuesAndErrors(t *testing.T) {
	store := newStore(t)
	x := newExecutor(t, store, idempotency.Options{Transforms: []codec.Transform{&xor{key: 0x55}, &xor{key: 0x2a}}})
	o := newOperation(t, x, idempotency.OperationOptions[string]{Name: "charge"})
	secret := errors.New("secret text")
	o.Do(t.Context(), idempotency.Call{Key: "value", Fingerprint: []byte("f")}, (&answers[string]{value: "secret text"}).run)
	o.Do(t.Context(), idempotency.Call{Key: "error"}, (&answers[string]{err: secret}).run)
	for _, key := range []string{"value", "error"} {
		record, err := store.Fetch(t.Context(), "\x00"+key)
		if err != nil || record.State != backend.Completed || bytes.Contains(record.Outcome, []byte("secret")) {
			t.Errorf("%s: %q, %v", key, record.Outcome, err)
		}
	}
	if v, err := o.Run(t.Context(), "value", mustNotRun[string](t)); v != "secret text" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	if _, err := o.Run(t.Context(), "error", mustNotRun[string](t)); err == nil || err.Error() != "secret text" {
		t.Errorf("%v", err)
	}
	// One transform less, and an answer moved to another key.
	fewer := newExecutor(t, store, idempotency.Options{Transforms: []codec.Transform{&xor{key: 0x55}}})
	if _, err := idempotency.Run(t.Context(), fewer, "value", mustNotRun[string](t)); !errors.Is(err, idempotency.ErrUndecodable) {
		t.Errorf("%v", err)
	}
	move(t, store, "\x00value", "\x00elsewhere")
	if _, err := o.Run(t.Context(), "elsewhere", mustNotRun[string](t)); !errors.Is(err, idempotency.ErrUndecodable) {
		t.Errorf("an answer was moved to another key: %v", err)
	}
}

// move writes the completed record of one storage key under another.
func move(t *testing.T, store backend.Backend, from, to string) {
	t.Helper()
	record, err := store.Fetch(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	err = store.Commit(t.Context(), to, backend.CommitRequest{
		Token: record.Token, Ending: backend.Complete, Outcome: record.Outcome, Retention: record.Remaining, LeaseHeld: true,
		Fingerprint: record.Fingerprint, Metadata: record.Metadata, Attempt: record.Attempt, Fence: record.Fence,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever lies in a record, a call gets an error or an answer; it never panics
// and never runs.
func FuzzReplayOfForeignBytes(f *testing.F) {
	store := newStore(f)
	x, err := idempotency.New(store, idempotency.Options{Transforms: []codec.Transform{&xor{key: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	for i, action := range []*answers[receipt]{{value: receipt{"ch_1", 1}}, {err: errDeclined}} {
		key := fmt.Sprint("seed", i)
		idempotency.Run(f.Context(), x, key, action.run)
		record, _ := store.Fetch(f.Context(), "\x00"+key)
		f.Add(record.Outcome, record.Metadata)
	}
	f.Add([]byte{}, []byte{})
	f.Add([]byte{0x30, 1, 0}, []byte{0x30})
	f.Add([]byte{0x23, 5, 0xff}, []byte{0x21})
	f.Add([]byte{0x20, 1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{0x2f, 0xff, 0xff, 0xff})
	f.Add([]byte{0x12, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{0x11, 0, 0xff, 0xff, 0xff})
	n := 0
	f.Fuzz(func(t *testing.T, outcome, metadata []byte) {
		n++
		key := fmt.Sprint("k", n)
		if len(metadata) > backend.MaxMetadata {
			return
		}
		err := store.Commit(context.Background(), "\x00"+key, backend.CommitRequest{
			Token: backend.Token{1}, Ending: backend.Complete, Outcome: outcome, Retention: idempotency.MaxRetention,
			LeaseHeld: true, Metadata: metadata, Attempt: 1, Fence: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		idempotency.Run(context.Background(), x, key, mustNotRun[receipt](t))
		x.Lookup(context.Background(), key)
		if err := x.Forget(context.Background(), key); err != nil {
			t.Fatal(err)
		}
	})
}
