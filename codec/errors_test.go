package codec_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/codec"
)

const maxRecord = 1 << 20

var (
	errDeclined = errors.New("card declined")
	errBusy     = errors.New("gateway busy")
	errWraps    = fmt.Errorf("wraps: %w", errBusy)
	errDeep     = fmt.Errorf("deep: %w", errors.New("not registered"))
)

// cardError is the usual error type: exported fields and a cause.
type cardError struct {
	Code   string
	Amount int64
	Err    error
}

func (e *cardError) Error() string {
	if e.Err == nil {
		return "card: " + e.Code
	}
	return "card: " + e.Code + ": " + e.Err.Error()
}
func (e *cardError) Unwrap() error { return e.Err }

// valueError has a value receiver and fields that can't be compared.
type valueError struct{ Fields []string }

func (e valueError) Error() string { return strings.Join(e.Fields, ",") }

type statusError int

func (e statusError) Error() string        { return "status " + strconv.Itoa(int(e)) }
func (e statusError) Timeout() bool        { return e == 504 }
func (e statusError) Temporary() bool      { return e >= 500 }
func (e statusError) Is(target error) bool { return e == 503 && target == errBusy }

// multiError has several causes and a field that Unwrap doesn't show.
type multiError struct {
	Op     string
	Errs   []error
	Hidden error `json:"-"`
}

func (e *multiError) Error() string   { return fmt.Sprintf("%s: %d errors", e.Op, len(e.Errs)) }
func (e *multiError) Unwrap() []error { return e.Errs }

// secretive keeps its cause to itself, so it needs Restore.
type secretive struct {
	Code  int
	cause error
}

func (e *secretive) Error() string { return fmt.Sprintf("secretive %d: %v", e.Code, e.cause) }
func (e *secretive) Unwrap() error { return e.cause }

// forgetful loses its cause, and with it part of its text.
type forgetful struct {
	Code  int
	cause error
}

func (e *forgetful) Error() string {
	if e.cause == nil {
		return "forgot"
	}
	return e.cause.Error()
}
func (e *forgetful) Unwrap() error { return e.cause }

// hooked encodes itself.
type hooked struct{ a, b string }

func (e hooked) Error() string { return e.a + e.b }

func newErrors(t testing.TB, sets ...codec.ErrorSet) *codec.Errors {
	t.Helper()
	r, err := codec.NewErrors(sets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testSet() codec.ErrorSet {
	return codec.ErrorSet{
		Sentinels: map[string]error{"declined": errDeclined, "busy": errBusy, "wraps": errWraps, "deep": errDeep},
		Types: []codec.ErrorType{
			codec.ErrorTypeOf("card", codec.ErrorTypeOptions[*cardError]{}),
			codec.ErrorTypeOf("value", codec.ErrorTypeOptions[valueError]{}),
			codec.ErrorTypeOf("status", codec.ErrorTypeOptions[statusError]{}),
			codec.ErrorTypeOf("multi", codec.ErrorTypeOptions[*multiError]{}),
			codec.ErrorTypeOf("secretive", codec.ErrorTypeOptions[*secretive]{
				Restore: func(e *secretive, causes []error) (*secretive, error) {
					if len(causes) > 0 {
						e.cause = causes[0]
					}
					return e, nil
				},
			}),
			codec.ErrorTypeOf("forgetful", codec.ErrorTypeOptions[*forgetful]{}),
			codec.ErrorTypeOf("hooked", codec.ErrorTypeOptions[hooked]{
				Encode: func(e hooked) ([]byte, error) { return []byte(e.a + "|" + e.b), nil },
				Decode: func(data []byte, _ []error) (hooked, error) {
					a, b, ok := strings.Cut(string(data), "|")
					if !ok {
						return hooked{}, errors.New("no |")
					}
					return hooked{a, b}, nil
				},
			}),
		},
	}
}

// replay records err with one registry and reads it with another.
func replay(t testing.TB, write, read *codec.Errors, err error) error {
	t.Helper()
	data, appendErr := write.Append([]byte("before"), err, maxRecord)
	if appendErr != nil {
		t.Fatalf("Append(%v): %v", err, appendErr)
	}
	if string(data[:6]) != "before" {
		t.Fatalf("Append overwrote dst")
	}
	decoded, decodeErr := read.Decode(data[6:])
	if decodeErr != nil {
		t.Fatalf("Decode(%v): %v", err, decodeErr)
	}
	for i := range data {
		data[i] = 0xaa // Decode must have copied
	}
	want := fmt.Sprintf("%T", err)
	if r, ok := err.(codec.Restored); ok {
		want = r.OriginalType()
	}
	if decoded.TypeName != want {
		t.Errorf("TypeName %q, want %q", decoded.TypeName, want)
	}
	if decoded.Err == nil || decoded.Err.Error() != decoded.Text {
		t.Errorf("Err is %v, Text %q", decoded.Err, decoded.Text)
	}
	return decoded.Err
}

func children(err error) []error {
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if child := x.Unwrap(); child != nil {
			return []error{child}
		}
	case interface{ Unwrap() []error }:
		return x.Unwrap()
	}
	return nil
}

// sameShape compares text, type and order of all nodes.
func sameShape(t *testing.T, path string, want, got error) {
	t.Helper()
	if got == nil || want.Error() != got.Error() {
		t.Errorf("%s: text %v, want %v", path, got, want)
		return
	}
	typeName := fmt.Sprintf("%T", got)
	if r, ok := got.(codec.Restored); ok {
		typeName = r.OriginalType()
	}
	if typeName != fmt.Sprintf("%T", want) {
		t.Errorf("%s: type %s, want %T", path, typeName, want)
	}
	_, wantJoined := want.(interface{ Unwrap() []error })
	_, gotJoined := got.(interface{ Unwrap() []error })
	if wantJoined != gotJoined {
		t.Errorf("%s: Unwrap() []error: %v, want %v", path, gotJoined, wantJoined)
	}
	if w, ok := want.(interface{ Timeout() bool }); ok {
		if g, ok := got.(interface{ Timeout() bool }); !ok || g.Timeout() != w.Timeout() {
			t.Errorf("%s: Timeout was lost", path)
		}
	} else if _, ok := got.(interface{ Timeout() bool }); ok {
		t.Errorf("%s: has a Timeout method that the original hasn't", path)
	}
	if w, ok := want.(interface{ Temporary() bool }); ok {
		if g, ok := got.(interface{ Temporary() bool }); !ok || g.Temporary() != w.Temporary() {
			t.Errorf("%s: Temporary was lost", path)
		}
	} else if _, ok := got.(interface{ Temporary() bool }); ok {
		t.Errorf("%s: has a Temporary method that the original hasn't", path)
	}
	wantChildren, gotChildren := children(want), children(got)
	if len(wantChildren) != len(gotChildren) {
		t.Errorf("%s: %d causes, want %d", path, len(gotChildren), len(wantChildren))
		return
	}
	for i := range wantChildren {
		sameShape(t, fmt.Sprintf("%s.%d", path, i), wantChildren[i], gotChildren[i])
	}
}

// trees are errors as programs make them. Every one must come back with its
// shape, with every sentinel of the list and every type.
func trees() map[string]error {
	path := &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT}
	_, num := strconv.Atoi("12x")
	_, parse := time.Parse(time.RFC3339, "yesterday")
	_, b64 := base64.StdEncoding.DecodeString("!")
	syntax := json.Unmarshal([]byte(`{"a"`), new(any))
	mismatch := json.Unmarshal([]byte(`{"A":"x"}`), new(struct{ A int }))
	_, open := os.Open("/does/not/exist")
	return map[string]error{
		"plain":                  errors.New("plain"),
		"empty text":             errors.New(""),
		"sentinel":               errDeclined,
		"wrapped":                fmt.Errorf("charge: %w", errDeclined),
		"wrapped thrice":         fmt.Errorf("a: %w", fmt.Errorf("b: %w", fmt.Errorf("c: %w", errDeclined))),
		"joined":                 errors.Join(errDeclined, errBusy, io.EOF),
		"joined wrapped":         errors.Join(fmt.Errorf("a: %w", errDeclined), fmt.Errorf("b: %w", &cardError{"x", 1, errBusy})),
		"two wrapped":            fmt.Errorf("%w and %w", errBusy, fmt.Errorf("x: %w", io.ErrUnexpectedEOF)),
		"join of one":            errors.Join(errBusy),
		"sentinel with children": errWraps,
		"sentinel with a child that isn't registered": fmt.Errorf("x: %w", errDeep),
		"typed":                    &cardError{Code: "expired", Amount: 1 << 60},
		"typed with cause":         &cardError{"expired", 7, fmt.Errorf("because: %w", errDeclined)},
		"typed in typed":           fmt.Errorf("z: %w", &cardError{"a", 1, &cardError{"b", 2, io.EOF}}),
		"typed with typed sibling": errors.Join(&cardError{Code: "first"}, &cardError{Code: "second"}),
		"value type":               fmt.Errorf("v: %w", valueError{[]string{"a", "b"}}),
		"number type":              errors.Join(statusError(504), statusError(503), statusError(404)),
		"multi":                    &multiError{Op: "batch", Errs: []error{errBusy, &cardError{Code: "m"}, errors.New("?")}, Hidden: errDeclined},
		"held by a field only":     &multiError{Op: "none", Hidden: &cardError{Code: "h", Err: io.EOF}},
		"unexported cause":         fmt.Errorf("s: %w", &secretive{5, &cardError{Code: "in", Err: errBusy}}),
		"cause that gets lost":     &forgetful{6, fmt.Errorf("lost: %w", errBusy)},
		"hooks":                    hooked{"a", "b"},
		"path":                     path,
		"open":                     open,
		"link":                     &os.LinkError{Op: "link", Old: "a", New: "b", Err: syscall.EXDEV},
		"syscall":                  os.NewSyscallError("connect", syscall.ECONNREFUSED),
		"num":                      num,
		"parse time":               parse,
		"base64":                   b64,
		"json syntax":              syntax,
		"json mismatch":            mismatch,
		"deadline":                 fmt.Errorf("call: %w", context.DeadlineExceeded),
		"os deadline":              os.ErrDeadlineExceeded,
		"cancelled":                context.Canceled,
	}
}

func TestTreesComeBack(t *testing.T) {
	r := newErrors(t, testSet())
	sentinels := []error{
		errDeclined, errBusy, errWraps, errDeep, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, fs.ErrExist, strconv.ErrSyntax,
		context.DeadlineExceeded, context.Canceled, os.ErrDeadlineExceeded, syscall.ENOENT, syscall.ECONNREFUSED,
		errors.Unwrap(errDeep),
	}
	for name, err := range trees() {
		t.Run(name, func(t *testing.T) {
			got := replay(t, r, r, err)
			again := replay(t, r, r, got) // as a replay's error that is recorded itself
			for _, got := range []error{got, again} {
				sameShape(t, "root", err, got)
				for _, sentinel := range sentinels {
					if errors.Is(err, sentinel) != errors.Is(got, sentinel) {
						t.Errorf("errors.Is(%v) is %v", sentinel, errors.Is(got, sentinel))
					}
				}
				sameAs[*cardError](t, err, got)
				sameAs[valueError](t, err, got)
				sameAs[statusError](t, err, got)
				sameAs[*multiError](t, err, got)
				sameAs[*secretive](t, err, got)
				sameAs[hooked](t, err, got)
				sameAs[*fs.PathError](t, err, got)
				sameAs[*os.LinkError](t, err, got)
				sameAs[*os.SyscallError](t, err, got)
				sameAs[*strconv.NumError](t, err, got)
				sameAs[*time.ParseError](t, err, got)
				sameAs[base64.CorruptInputError](t, err, got)
				sameAs[syscall.Errno](t, err, got)
				sameAs[*json.UnmarshalTypeError](t, err, got)
				sameAs[interface{ Timeout() bool }](t, err, got)
				var want, syntax *json.SyntaxError
				if errors.As(err, &want) != errors.As(got, &syntax) || want != nil && want.Offset != syntax.Offset {
					t.Errorf("json.SyntaxError is %+v, want %+v", syntax, want)
				}
				var forgot *forgetful
				if errors.As(err, &forgot) && (!errors.As(got, &forgot) || forgot.Code != 6) {
					t.Errorf("forgetful is %+v", forgot)
				}
			}
		})
	}
}

// sameAs compares the first T of both trees: text, shape and exported fields.
func sameAs[T any](t *testing.T, want, got error) {
	t.Helper()
	var w, g T
	if errors.As(want, &w) != errors.As(got, &g) {
		t.Errorf("errors.As(%T) is %v", w, !errors.As(want, &w))
		return
	}
	if !errors.As(want, &w) {
		return
	}
	wantErr, gotErr := any(w).(error), any(g).(error)
	if wantErr.Error() != gotErr.Error() {
		t.Errorf("%T has the text %q, want %q", w, gotErr, wantErr)
	}
	if reflect.TypeFor[T]().Kind() == reflect.Interface {
		return
	}
	sameShape(t, fmt.Sprintf("%T", w), wantErr, gotErr)
	wantValue, gotValue := reflect.Indirect(reflect.ValueOf(w)), reflect.Indirect(reflect.ValueOf(g))
	if wantValue.Kind() != reflect.Struct {
		if !reflect.DeepEqual(w, g) {
			t.Errorf("%T is %v, want %v", w, g, w)
		}
		return
	}
	for f := range wantValue.Type().Fields() {
		if !f.IsExported() {
			continue
		}
		wantField, gotField := wantValue.FieldByIndex(f.Index).Interface(), gotValue.FieldByIndex(f.Index).Interface()
		if wantCause, ok := wantField.(error); ok {
			gotCause, _ := gotField.(error)
			sameShape(t, f.Name, wantCause, gotCause)
		} else if causes, ok := wantField.([]error); ok {
			for i, cause := range causes {
				sameShape(t, f.Name, cause, gotField.([]error)[i])
			}
		} else if !reflect.DeepEqual(wantField, gotField) {
			t.Errorf("%T.%s is %v, want %v", w, f.Name, gotField, wantField)
		}
	}
}

func TestOrderIsThatOfTheOriginal(t *testing.T) {
	r := newErrors(t, testSet())
	err := errors.Join(fmt.Errorf("x: %w", &cardError{Code: "first", Err: &cardError{Code: "inner"}}), &cardError{Code: "second"})
	var found *cardError
	if !errors.As(replay(t, r, r, err), &found) || found.Code != "first" {
		t.Errorf("errors.As found %+v first", found)
	}
}

func TestSentinelsComeBackAsThemselves(t *testing.T) {
	r := newErrors(t, testSet())
	if got := replay(t, r, r, errDeclined); got != errDeclined {
		t.Errorf("the root is %#v", got)
	}
	if got := errors.Unwrap(replay(t, r, r, fmt.Errorf("read: %w", io.EOF))); got != io.EOF {
		t.Errorf("the cause is %#v", got)
	}
}

func TestNilRegistryKnowsTheStandardLibrary(t *testing.T) {
	var r *codec.Errors
	got := replay(t, r, r, fmt.Errorf("a: %w", errors.Join(&cardError{Code: "c"}, fmt.Errorf("b: %w", io.EOF))))
	var card *cardError
	if !errors.Is(got, io.EOF) || errors.As(got, &card) {
		t.Errorf("io.EOF: %v, cardError: %v", errors.Is(got, io.EOF), errors.As(got, &card))
	}
	with, err := r.With(testSet())
	if err != nil || !errors.Is(replay(t, with, with, errBusy), errBusy) {
		t.Errorf("With on nil: %v", err)
	}
	if _, err = with.With(testSet()); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("With the same set: %v", err)
	}
}

func TestUnknownNamesKeepTextAndType(t *testing.T) {
	r := newErrors(t, testSet())
	var older *codec.Errors
	for name, err := range trees() {
		got := replay(t, r, older, err)
		sameShape(t, name, err, got)
		// What the older one doesn't know survives it.
		sameShape(t, name+", twice", err, replay(t, older, r, got))
		again := replay(t, older, r, got)
		for _, sentinel := range []error{errDeclined, errBusy, errWraps, io.EOF} {
			if errors.Is(err, sentinel) != errors.Is(again, sentinel) {
				t.Errorf("%s: errors.Is(%v) is %v after a detour", name, sentinel, errors.Is(again, sentinel))
			}
		}
		sameAs[*cardError](t, err, again)
		sameAs[*multiError](t, err, again)
	}
}
