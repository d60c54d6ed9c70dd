package msgpack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/big"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	lib "github.com/vmihailenco/msgpack/v5"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/msgpack"
)

type inner struct {
	A int
	B []string
}

type Embedded struct{ E uint8 }

type value struct {
	ID     string `msgpack:"id"`
	At     time.Time
	Amount int64
	Inner  *inner
	Any    any
	Big    *big.Int
	Map    map[string]inner
	Times  map[int]time.Time
	Bytes  []byte
	Float  float64
	Nil    []int
	Empty  []int
	Embedded
	private chan int
	Skipped func() `msgpack:"-"`
}

type list struct {
	Next *list
	N    int
}

func roundTrip[T any](t *testing.T, in T) (out T) {
	t.Helper()
	data, err := msgpack.Codec.Append([]byte("before"), in)
	if err != nil {
		t.Fatalf("Append(%+v): %v", in, err)
	}
	if string(data[:6]) != "before" {
		t.Fatal("Append overwrote dst")
	}
	if err := msgpack.Codec.Decode(data[6:], &out); err != nil {
		t.Fatalf("Decode(%+v): %v", in, err)
	}
	for i := range data {
		data[i] = 0xaa // Decode must have copied
	}
	return out
}

func same[T any](t *testing.T, in T) {
	t.Helper()
	if out := roundTrip(t, in); !reflect.DeepEqual(in, out) {
		t.Errorf("%+v became %+v", in, out)
	}
}

func TestRoundTrips(t *testing.T) {
	same(t, value{
		ID: "x", At: time.Unix(1, 2), Amount: math.MinInt64, Inner: &inner{1, []string{"a", ""}}, Any: "s", Big: new(big.Int).Lsh(big.NewInt(1), 200),
		Map: map[string]inner{"k": {2, nil}}, Times: map[int]time.Time{5: time.Unix(5, 0)}, Bytes: []byte{0, 255}, Float: math.Inf(1),
		Empty: []int{}, Embedded: Embedded{7},
	})
	same(t, "")
	same(t, strings.Repeat("long", 100_000))
	same(t, math.MaxUint64-uint64(1))
	same(t, []byte(nil))
	same(t, []byte{})
	same(t, map[string]any{"a": int64(1), "b": uint64(math.MaxUint64), "c": 1.5, "d": nil, "e": []any{true, "x"}, "f": map[string]any{}})
	same(t, (*inner)(nil))
	same(t, &list{&list{nil, 2}, 1})
	same(t, [3]bool{true, false, true})
	same(t, struct{}{})
	same(t, time.Duration(5))
	same(t, struct{ B big.Int }{*big.NewInt(5)})
}

// What the documentation says gets lost: if one of these holds no longer, it
// must say so.
func TestWhatGetsLost(t *testing.T) {
	for _, test := range []struct{ in, want any }{
		{5, int64(5)}, {int8(-5), int64(-5)}, {uint16(5), int64(5)}, {uint64(math.MaxUint64), uint64(math.MaxUint64)},
		{float32(0.5), 0.5}, {[]byte("b"), "b"}, {map[string]int{"a": 1}, map[string]any{"a": int64(1)}}, {[]string{"a"}, []any{"a"}},
	} {
		if out := roundTrip(t, test.in); !reflect.DeepEqual(out, test.want) && !reflect.DeepEqual(normal(out), test.want) {
			t.Errorf("%T %v became %T %v, want %T", test.in, test.in, out, out, test.want)
		}
	}
	there := time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("there", 3600))
	if out := roundTrip(t, there); !out.Equal(there) || out.Location() != time.Local {
		t.Errorf("%v became %v", there, out)
	}
	if out := roundTrip(t, value{private: make(chan int)}); out.private != nil {
		t.Error("an unexported field came back")
	}
}

// normal lets unsigned integers that fit be either.
func normal(v any) any {
	if u, ok := v.(uint64); ok && u <= math.MaxInt64 {
		return int64(u)
	}
	return v
}

func TestAllTimes(t *testing.T) {
	for _, seconds := range []int64{0, 1, 1 << 31, 1<<32 - 1, 1 << 32, 0x80000000, 0xdf000000, 0xde000000, 1<<34 - 1, 1 << 34, -1, -62135596800} {
		for _, nanoseconds := range []int64{0, 1, 0x80 << 22, 0x8f << 22, 0xde << 22, 999_999_999} {
			at := time.Unix(seconds, nanoseconds)
			if out := roundTrip(t, map[string]any{"a": at, "b": at})["b"].(time.Time); !out.Equal(at) {
				t.Errorf("%v became %v", at, out)
			}
			if out := roundTrip(t, at); !out.Equal(at) {
				t.Errorf("%v became %v", at, out)
			}
			if out := roundTrip(t, value{At: at}); !out.At.Equal(at) {
				t.Errorf("%v became %v in a struct", at, out.At)
			}
		}
	}
}

type onlyEncodes struct{ A int }

func (onlyEncodes) MarshalBinary() ([]byte, error) { return nil, nil }

type selfEmbedding struct{ *selfEmbedding }

type hidden struct{ A int }

type hiddenPointer struct{ *hidden }

func TestCheck(t *testing.T) {
	checker := msgpack.Codec.(codec.Checker)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[value](), reflect.TypeFor[*value](), reflect.TypeFor[list](), reflect.TypeFor[any](), reflect.TypeFor[[]byte](),
		reflect.TypeFor[struct{ hidden }](), reflect.TypeFor[map[any]int](), reflect.TypeFor[big.Int](), reflect.TypeFor[int](),
		reflect.TypeFor[*time.Time](), reflect.TypeFor[lib.RawMessage](),
	} {
		if err := checker.Check(typ); err != nil {
			t.Errorf("refuses %v: %v", typ, err)
		}
	}
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[chan int](): "chan int", reflect.TypeFor[func()](): "func", reflect.TypeFor[complex64](): "complex64",
		reflect.TypeFor[uintptr](): "uintptr", reflect.TypeFor[io.Reader](): "interface", reflect.TypeFor[error](): "interface",
		reflect.TypeFor[struct{ Deep struct{ R error } }](): ".Deep.R", reflect.TypeFor[map[string][]chan int](): "[]",
		reflect.TypeFor[map[string]big.Int](): "map of pointers", reflect.TypeFor[onlyEncodes](): "only one", reflect.TypeFor[selfEmbedding](): "embeds itself", reflect.TypeFor[hiddenPointer](): "unexported",
	} {
		if err := checker.Check(typ); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one that names %q", typ, err, want)
		}
	}
}

type panics struct{}

func (panics) MarshalMsgpack() ([]byte, error)  { panic("marshal") }
func (*panics) UnmarshalMsgpack(b []byte) error { panic("unmarshal") }

func TestPanicsAreErrors(t *testing.T) {
	if _, err := msgpack.Codec.Append(nil, panics{}); err == nil {
		t.Error("Append: no error")
	}
	if err := msgpack.Codec.Decode([]byte{0x01}, &panics{}); err == nil {
		t.Error("Decode: no error")
	}
	if err := msgpack.Codec.Decode([]byte{0x81, 0x90, 0x01}, new(map[any]int)); err == nil {
		t.Error("a slice was taken for a map's key")
	}
	for _, into := range []any{nil, 5, (*int)(nil)} {
		if err := msgpack.Codec.Decode([]byte{0x01}, into); err == nil {
			t.Errorf("decoded into %v", into)
		}
	}
}

func TestTooDeep(t *testing.T) {
	var deep any
	for range 2 * msgpack.MaxDepth {
		deep = []any{deep}
	}
	if _, err := msgpack.Codec.Append(nil, deep); err == nil {
		t.Error("encoded what can't be decoded")
	}
	if err := msgpack.Codec.Decode(bytes.Repeat([]byte{0x91}, 10_000_000), new(any)); err == nil {
		t.Error("decoded")
	}
}

// bombs announce more than they have.
func bombs() [][]byte {
	return [][]byte{
		{0xdd, 0xff, 0xff, 0xff, 0xff},                         // array of 4 G
		{0xdf, 0xff, 0xff, 0xff, 0xff},                         // map
		{0xdb, 0xff, 0xff, 0xff, 0xff},                         // string
		{0xc6, 0xff, 0xff, 0xff, 0xff},                         // bytes
		{0xc9, 0xff, 0xff, 0xff, 0xff, 0xff},                   // extension
		{0xd6, 0xff, 0xdf, 0xff, 0xff, 0xff},                   // a timestamp that reads like a map
		{0x92, 0xd6, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xcc, 0xff}, // and goes on
		{0xd7, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0xc7, 12, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
}

func TestBombs(t *testing.T) {
	into := func() []any {
		return []any{new(any), new([]any), new(map[string]any), new([]value), new(value), new(map[string]string), new([]map[string]any), new(string), new([]byte), new(time.Time), new(list)}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, bomb := range bombs() {
		for _, v := range into() {
			msgpack.Codec.Decode(bomb, v) // an error or not, but small
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("the bombs allocated %d bytes", grown)
	}
}

func TestExtensionsAreRefused(t *testing.T) {
	for _, data := range [][]byte{{0xd4, 5, 1}, {0xc7, 3, 5, 1, 2, 3}, {0xd6, 13, 0, 0, 0, 1}} {
		if err := msgpack.Codec.Decode(data, new(any)); err == nil || !strings.Contains(err.Error(), "extension") {
			t.Errorf("%x: %v", data, err)
		}
	}
}

func TestBrokenData(t *testing.T) {
	data, err := msgpack.Codec.Append(nil, value{ID: "x", At: time.Unix(1, 2), Map: map[string]inner{"k": {2, nil}}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := msgpack.Codec.Decode(data[:n], new(value)); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(data))
		}
	}
	if err := msgpack.Codec.Decode(append(data, 0xc0), new(value)); err == nil {
		t.Error("two values were taken")
	}
	if err := msgpack.Codec.Decode([]byte{0xc1}, new(any)); err == nil {
		t.Error("0xc1 was taken")
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range []any{value{ID: "x", At: time.Unix(1, 2), Map: map[string]inner{"k": {2, nil}}}, "s", []any{1, "x", nil, 2.5}, time.Unix(0xdf000000, 0)} {
		data, err := msgpack.Codec.Append(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, bomb := range bombs() {
		f.Add(bomb)
	}
	f.Add(binary.BigEndian.AppendUint32([]byte{0xdd}, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, into := range []any{new(any), new(value), new([]value), new(list), new(map[string]any), new(map[any]any), new([]byte), new(string), new(time.Time)} {
			if err := msgpack.Codec.Decode(data, into); err == nil {
				if _, err := msgpack.Codec.Append(nil, into); err != nil && !errors.Is(err, io.EOF) {
					t.Fatalf("%x decodes to %+v, which can't be encoded: %v", data, into, err)
				}
			}
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20+uint64(len(data))*4096 {
			t.Fatalf("%d bytes made it allocate %d", len(data), grown)
		}
	})
}
