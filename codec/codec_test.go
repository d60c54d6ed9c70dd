package codec_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/codec"
)

type inner struct {
	A int
	B []string
}

type value struct {
	ID      string
	At      time.Time
	Amount  int64
	Inner   *inner
	Any     any
	Big     *big.Int
	Map     map[string]inner
	private chan int //lint:ignore U1000 unexported fields are skipped
	Skipped func()   `json:"-"`
}

type tree struct {
	Children []*tree
	Name     string
}

// onlyMarshals can be encoded by itself but not decoded.
type onlyMarshals struct{ F func() }

func (onlyMarshals) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

// both encodes and decodes itself, so what it holds doesn't matter.
type both struct{ F func() }

func (both) MarshalJSON() ([]byte, error)  { return []byte("1"), nil }
func (*both) UnmarshalJSON(b []byte) error { return nil }

type embeds struct {
	inner
	*tree
}

func check(c codec.Codec, t reflect.Type) error { return c.(codec.Checker).Check(t) }

func TestCheckTakesWhatCanBeDecodedAgain(t *testing.T) {
	for _, test := range []struct {
		codec codec.Codec
		types []reflect.Type
	}{
		{codec.JSON, []reflect.Type{
			reflect.TypeFor[value](), reflect.TypeFor[*value](), reflect.TypeFor[tree](), reflect.TypeFor[int](),
			reflect.TypeFor[any](), reflect.TypeFor[[]byte](), reflect.TypeFor[both](), reflect.TypeFor[embeds](),
			reflect.TypeFor[map[int]string](), reflect.TypeFor[json.RawMessage](), reflect.TypeFor[struct{}](),
			reflect.TypeFor[time.Duration](), reflect.TypeFor[[3]bool](),
		}},
		{codec.Gob, []reflect.Type{reflect.TypeFor[inner](), reflect.TypeFor[*inner](), reflect.TypeFor[tree](), reflect.TypeFor[string]()}},
		{codec.Raw, []reflect.Type{reflect.TypeFor[[]byte](), reflect.TypeFor[string](), reflect.TypeFor[json.RawMessage]()}},
	} {
		for _, typ := range test.types {
			if err := check(test.codec, typ); err != nil {
				t.Errorf("%s refuses %v: %v", test.codec.Name(), typ, err)
			}
		}
	}
}

func TestCheckRefusesWhatCanNot(t *testing.T) {
	for _, test := range []struct {
		codec codec.Codec
		typ   reflect.Type
		text  string
	}{
		{codec.JSON, reflect.TypeFor[chan int](), "chan int"},
		{codec.JSON, reflect.TypeFor[func()](), "func()"},
		{codec.JSON, reflect.TypeFor[complex64](), "complex64"},
		{codec.JSON, reflect.TypeFor[io.Reader](), "interface"},
		{codec.JSON, reflect.TypeFor[struct{ Deep struct{ R error } }](), ".Deep.R"},
		{codec.JSON, reflect.TypeFor[map[string][]chan int](), "[]"},
		{codec.JSON, reflect.TypeFor[map[float64]int](), "keys"},
		{codec.JSON, reflect.TypeFor[onlyMarshals](), ".F"},
		{codec.Gob, reflect.TypeFor[chan int](), ""},
		{codec.Gob, reflect.TypeFor[func()](), ""},
		{codec.Gob, reflect.TypeFor[error](), "concrete"},
		{codec.Gob, reflect.TypeFor[struct{ a int }](), "exported"},
		{codec.Raw, reflect.TypeFor[int](), "raw"},
		{codec.Raw, reflect.TypeFor[[]int](), "raw"},
		{codec.Raw, reflect.TypeFor[*[]byte](), "raw"},
	} {
		err := check(test.codec, test.typ)
		if err == nil || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s, %v: error %v, want one that names %q", test.codec.Name(), test.typ, err, test.text)
		}
	}
}

func roundTrip[T any](c codec.Codec, in T) (out T, err error) {
	data, err := c.Append([]byte("before"), in)
	if err != nil {
		return out, err
	}
	if !strings.HasPrefix(string(data), "before") {
		return out, fmt.Errorf("Append overwrote dst: %q", data)
	}
	err = c.Decode(data[len("before"):], &out)
	for i := range data {
		data[i] = 0xaa // Decode must have copied
	}
	return out, err
}

func TestRoundTrips(t *testing.T) {
	in := value{ID: "x", At: time.Unix(1, 2).UTC(), Amount: 1 << 60, Inner: &inner{1, []string{"a"}}, Big: big.NewInt(5), Map: map[string]inner{"k": {2, nil}}}
	if out, err := roundTrip(codec.JSON, in); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("json: %+v, %v", out, err)
	}
	small := inner{7, []string{"", "b"}}
	for _, c := range []codec.Codec{codec.JSON, codec.Gob} {
		if out, err := roundTrip(c, small); err != nil || !reflect.DeepEqual(small, out) {
			t.Errorf("%s: %+v, %v", c.Name(), out, err)
		}
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	if out, err := roundTrip(codec.Raw, all); err != nil || !reflect.DeepEqual(all, out) {
		t.Errorf("raw bytes: %v, %v", out, err)
	}
	if out, err := roundTrip(codec.Raw, string(all)); err != nil || out != string(all) {
		t.Errorf("raw string: %q, %v", out, err)
	}
	type named string
	if out, err := roundTrip(codec.Raw, named("n")); err != nil || out != "n" {
		t.Errorf("raw named string: %q, %v", out, err)
	}
	if out, err := roundTrip(codec.Raw, json.RawMessage(`{}`)); err != nil || string(out) != "{}" {
		t.Errorf("raw named bytes: %q, %v", out, err)
	}
	if out, err := roundTrip(codec.Raw, []byte{}); err != nil || out == nil || len(out) != 0 {
		t.Errorf("raw, empty: %v, %v", out, err)
	}
}

func TestRawRefusesOtherValues(t *testing.T) {
	if _, err := codec.Raw.Append(nil, 5); err == nil {
		t.Error("an int was encoded")
	}
	if _, err := codec.Raw.Append(nil, nil); err == nil {
		t.Error("nil was encoded")
	}
	var n int
	for _, into := range []any{&n, n, nil, (*[]int)(nil)} {
		if err := codec.Raw.Decode([]byte("x"), into); err == nil {
			t.Errorf("decoded into %T", into)
		}
	}
}

func FuzzDecodersDoNotPanic(f *testing.F) {
	for _, c := range []codec.Codec{codec.JSON, codec.Gob, codec.Raw} {
		data, err := c.Append(nil, "seed")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		if data, err = codec.JSON.Append(nil, value{ID: "x"}); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v value
		var s string
		var b []byte
		codec.JSON.Decode(data, &v)
		codec.Gob.Decode(data, &inner{})
		codec.Gob.Decode(data, &s)
		codec.Raw.Decode(data, &b)
	})
}

// What is adopted is the data itself, and an append to it doesn't reach what lies
// behind; what can't be is decoded.
func TestRawAdopts(t *testing.T) {
	adopter := codec.Raw.(codec.Adopter)
	data := []byte("answer|behind")
	var value []byte
	if err := adopter.Adopt(data[:6], &value); err != nil || string(value) != "answer" {
		t.Fatalf("%q, %v", value, err)
	}
	if &value[0] != &data[0] {
		t.Error("it was copied")
	}
	if _ = append(value, "over"...); string(data) != "answer|behind" {
		t.Errorf("an append reached what lies behind: %q", data)
	}
	var text string
	if err := adopter.Adopt(data[:6], &text); err != nil || text != "answer" {
		t.Errorf("%q, %v", text, err)
	}
	if data[0] = 'X'; text != "answer" {
		t.Error("a string changes")
	}
	for _, nothing := range [][]byte{nil, {}} {
		if err := adopter.Adopt(nothing, &value); err != nil || value == nil || len(value) != 0 {
			t.Errorf("nothing is adopted as %#v, %v", value, err)
		}
	}
	if err := adopter.Adopt(data, new(int)); err == nil {
		t.Error("an int was made of bytes")
	}
}
