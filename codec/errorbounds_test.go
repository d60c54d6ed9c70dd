package codec_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/codec"
)

// liar has every method that the registry asks, and all of them panic.
type liar struct{}

func (*liar) Error() string   { panic("Error") }
func (*liar) Is(error) bool   { panic("Is") }
func (*liar) As(any) bool     { panic("As") }
func (*liar) Unwrap() error   { panic("Unwrap") }
func (*liar) Timeout() bool   { panic("Timeout") }
func (*liar) Temporary() bool { panic("Temporary") }

// loop is its own cause, twice.
type loop struct{ Name string }

func (e *loop) Error() string   { return e.Name }
func (e *loop) Unwrap() []error { return []error{e, e} }

// impostor says by its methods what it is.
type impostor struct{}

func (impostor) Error() string        { return "impostor" }
func (impostor) Is(target error) bool { return target == errBusy }
func (impostor) As(target any) bool {
	p, ok := target.(**cardError)
	if ok {
		*p = &cardError{Code: "as", Err: errDeclined}
	}
	return ok
}

// changed is read as another type than it was written.
type changed struct{ Code int }

func (e *changed) Error() string { return "changed" }

func TestMethodsThatPanic(t *testing.T) {
	r := newErrors(t, testSet(), types(codec.ErrorTypeOf("panics", codec.ErrorTypeOptions[*liar]{
		Encode: func(*liar) ([]byte, error) { panic("Encode") },
		Decode: func([]byte, []error) (*liar, error) { panic("Decode") },
	})))
	for _, r := range []*codec.Errors{nil, r} {
		for _, err := range []error{&liar{}, (*liar)(nil), (*cardError)(nil), errors.Join(errBusy, new(loop))} {
			data, appendErr := r.Append(nil, err, maxRecord)
			if appendErr != nil {
				t.Fatal(appendErr)
			}
			got, decodeErr := r.Decode(data)
			if decodeErr != nil || got.Text != fmt.Sprint(err) {
				t.Errorf("%q, %v", got.Text, decodeErr)
			}
			_ = got.Err.Error() // must not panic
			errors.Is(got.Err, errBusy)
			errors.As(got.Err, new(*cardError))
		}
	}
}

func TestHooksThatFail(t *testing.T) {
	mode := ""
	r := newErrors(t, types(codec.ErrorTypeOf("card", codec.ErrorTypeOptions[*cardError]{
		Encode: func(e *cardError) ([]byte, error) {
			switch mode {
			case "encode error":
				return nil, errBusy
			case "encode panic":
				panic("encode")
			}
			return []byte(e.Code), nil
		},
		Decode: func(data []byte, causes []error) (*cardError, error) {
			switch mode {
			case "decode error":
				return nil, errBusy
			case "decode panic":
				panic("decode")
			case "decode nil":
				return nil, nil
			}
			return &cardError{Code: string(data), Err: causes[0]}, nil
		},
	})))
	err := fmt.Errorf("x: %w", &cardError{Code: "c", Err: io.EOF})
	for _, mode = range []string{"", "encode error", "encode panic", "decode error", "decode panic", "decode nil"} {
		got := replay(t, r, r, err)
		sameShape(t, mode, err, got)
		var card *cardError
		if errors.As(got, &card) != (mode == "") || !errors.Is(got, io.EOF) {
			t.Errorf("%q: card %v, io.EOF %v", mode, card, errors.Is(got, io.EOF))
		}
	}
}

func TestNilPointersOfTypes(t *testing.T) {
	r := newErrors(t, testSet())
	err := errors.Join(errBusy, (*changed)(nil), (*nilSafe)(nil))
	sameShape(t, "unregistered", err, replay(t, r, r, err))
	r = newErrors(t, types(codec.ErrorTypeOf("nil", codec.ErrorTypeOptions[*nilSafe]{})))
	got := replay(t, r, r, err)
	var safe *nilSafe
	if !errors.As(got, &safe) || safe != nil {
		t.Errorf("a nil *nilSafe came back as %v", safe)
	}
}

type nilSafe struct{ Code int }

func (e *nilSafe) Error() string { return "nil safe" }

func TestAChangedTypeKeepsItsText(t *testing.T) {
	write := newErrors(t, types(codec.ErrorTypeOf("t", codec.ErrorTypeOptions[*cardError]{})))
	read := newErrors(t, types(codec.ErrorTypeOf("t", codec.ErrorTypeOptions[*changed]{})))
	err := fmt.Errorf("x: %w", &cardError{Code: "text where a number was", Err: io.EOF})
	got := replay(t, write, read, err)
	sameShape(t, "root", err, got)
	if errors.As(got, new(*changed)) || !errors.Is(got, io.EOF) {
		t.Error("decoded, or lost its cause")
	}
}

func TestIsAndAsMethodsOfUnregisteredTypes(t *testing.T) {
	r := newErrors(t, testSet())
	got := replay(t, r, r, fmt.Errorf("x: %w", impostor{}))
	for _, got := range []error{got, replay(t, r, r, got)} {
		var card *cardError
		if !errors.Is(got, errBusy) || errors.Is(got, errDeclined) {
			t.Errorf("Is: busy %v, declined %v", errors.Is(got, errBusy), errors.Is(got, errDeclined))
		}
		if !errors.As(got, &card) || card.Code != "as" || !errors.Is(card, errDeclined) {
			t.Errorf("As gave %+v", card)
		}
		if errors.As(got, new(*multiError)) {
			t.Error("As gave another type")
		}
	}
}

func TestSentinelWhoseTextChanged(t *testing.T) {
	renamed := errors.New("card was declined")
	write := newErrors(t, sentinels(map[string]error{"declined": errDeclined}))
	read := newErrors(t, sentinels(map[string]error{"declined": renamed}))
	got := replay(t, write, read, fmt.Errorf("x: %w", errDeclined))
	if got.Error() != "x: card declined" || errors.Unwrap(got).Error() != "card declined" || !errors.Is(got, renamed) {
		t.Errorf("%v: %v", got, errors.Is(got, renamed))
	}
}

func TestLargeTreesAreCut(t *testing.T) {
	r := newErrors(t, testSet())
	chain := func(n int, err error) error {
		for range n {
			err = fmt.Errorf("layer: %w", err)
		}
		return err
	}
	wide := make([]error, 5000)
	for i := range wide {
		wide[i] = fmt.Errorf("number %d: %w", i, errDeclined)
	}
	long := strings.Repeat("x", 300)
	for name, err := range map[string]error{
		"cycle": &loop{"loop"}, "deep": chain(3000, errBusy), "wide": errors.Join(wide...),
		"long types": errors.Join(&cardError{Code: long}, &cardError{Code: long}, errBusy),
	} {
		size := len(err.Error())
		for _, limit := range []int{size + 64, size + 65, size + 100, size + 1000, 1 << 20} {
			data, appendErr := r.Append(nil, err, limit)
			if appendErr != nil || len(data) > limit {
				t.Fatalf("%s: %d bytes of %d, %v", name, len(data), limit, appendErr)
			}
			got, decodeErr := r.Decode(data)
			if decodeErr != nil || got.Text != err.Error() {
				t.Fatalf("%s with %d bytes: %v", name, limit, decodeErr)
			}
		}
		if _, appendErr := r.Append(nil, err, size); appendErr == nil {
			t.Errorf("%s: took less than its text", name)
		}
	}
	if !errors.Is(replay(t, r, r, chain(200, errBusy)), errBusy) {
		t.Error("the sentinel under 200 layers was lost")
	}
	data, err := r.Append(nil, chain(200, errBusy), maxRecord)
	if text := len(chain(200, errBusy).Error()); err != nil || len(data) > text+200*32 {
		t.Errorf("200 layers take %d bytes for a text of %d", len(data), text)
	}
}

func TestAppendRefusesNil(t *testing.T) {
	var r *codec.Errors
	if _, err := r.Append(nil, nil, maxRecord); err == nil {
		t.Error("nil was taken")
	}
}

// twice holds one error in two fields.
type twice struct {
	Err  error
	Errs []error
}

func (e *twice) Error() string   { return "twice" }
func (e *twice) Unwrap() []error { return append([]error{e.Err}, e.Errs...) }

func TestAnErrorInTwoFields(t *testing.T) {
	r := newErrors(t, testSet(), types(codec.ErrorTypeOf("twice", codec.ErrorTypeOptions[*twice]{})))
	err := &twice{errBusy, []error{errBusy, io.EOF, errBusy}}
	got := replay(t, r, r, err)
	sameShape(t, "root", err, got)
	sameAs[*twice](t, err, got)

	// A record can't say that a node is used often: read that way, it would
	// describe a tree of 4^60 nodes.
	record := "\x01" + strings.Repeat(text("twice")+text("*t.twice")+"\x02"+"\x10"+text("twice")+"\x11"+text("json")+"\x12"+text("{}")+"\x14"+text("\x10")+"\x01", 60) +
		text("end") + text("t") + "\x00\x00" + strings.Repeat(strings.Repeat("\x15"+text("\x00Errs"), 4)+"\x00", 60)
	decoded, decodeErr := r.Decode([]byte(record))
	if decodeErr != nil {
		t.Fatal(decodeErr)
	}
	var outer *twice
	if !errors.As(decoded.Err, &outer) || len(outer.Errs) != 1 {
		t.Errorf("the field holds %d errors", len(outer.Errs))
	}
	errors.Is(decoded.Err, errBusy) // must return
}

// anyError can be compared, except when what it holds can't.
type anyError struct{ V any }

func (e anyError) Error() string { return fmt.Sprint(e.V) }

func TestValuesThatCanNotBeComparedAtRunTime(t *testing.T) {
	r := newErrors(t, sentinels(map[string]error{"any": anyError{1}}))
	err := errors.Join(anyError{[]int{1}}, anyError{1})
	got := replay(t, r, r, err)
	sameShape(t, "root", err, got)
	if !errors.Is(got, anyError{1}) || errors.Is(got, anyError{2}) {
		t.Error("the comparable one was lost")
	}
}

// A hook that makes a look-alike of the cause must not hide the cause itself.
func TestAHookThatCopiesItsCause(t *testing.T) {
	r := newErrors(t, testSet(), types(codec.ErrorTypeOf("changed", codec.ErrorTypeOptions[*copies]{
		Encode: func(e *copies) ([]byte, error) { return []byte(e.cause.Error()), nil },
		Decode: func(data []byte, _ []error) (*copies, error) { return &copies{errors.New(string(data))}, nil },
	})))
	err := &copies{errDeclined}
	got := replay(t, r, r, err)
	sameShape(t, "root", err, got)
	if !errors.Is(got, errDeclined) || !errors.As(got, new(*copies)) {
		t.Errorf("errors.Is: %v", errors.Is(got, errDeclined))
	}
}

type copies struct{ cause error }

func (e *copies) Error() string { return e.cause.Error() }
func (e *copies) Unwrap() error { return e.cause }
