package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/codec"
)

type silent struct{ text string }

func (e *silent) Error() string { return e.text }

type channelError struct{ C chan int }

func (channelError) Error() string { return "" }

type deepCause struct{ Inner struct{ Err error } }

func (deepCause) Error() string { return "" }

// marshaled has no exported field, but a form of its own.
type marshaled struct{ text string }

func (e *marshaled) Error() string                { return e.text }
func (e *marshaled) MarshalJSON() ([]byte, error) { return json.Marshal(e.text) }
func (e *marshaled) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &e.text) }

func sentinels(m map[string]error) codec.ErrorSet { return codec.ErrorSet{Sentinels: m} }

func types(list ...codec.ErrorType) codec.ErrorSet { return codec.ErrorSet{Types: list} }

func TestMistakesAreErrorsAtConstruction(t *testing.T) {
	card := func(name string) codec.ErrorType {
		return codec.ErrorTypeOf(name, codec.ErrorTypeOptions[*cardError]{})
	}
	encode := func(*cardError) ([]byte, error) { return nil, nil }
	decode := func([]byte, []error) (*cardError, error) { return nil, nil }
	for name, test := range map[string]struct {
		sets []codec.ErrorSet
		want []string
	}{
		"name twice":           {[]codec.ErrorSet{sentinels(map[string]error{"a": errBusy}), sentinels(map[string]error{"a": errDeclined})}, []string{`Sentinels["a"]`, "twice"}},
		"the same set twice":   {[]codec.ErrorSet{testSet(), testSet()}, []string{"twice"}},
		"sentinel and type":    {[]codec.ErrorSet{{Sentinels: map[string]error{"a": errBusy}, Types: []codec.ErrorType{card("a")}}}, []string{`Types[0] ("a")`, "twice"}},
		"value twice":          {[]codec.ErrorSet{sentinels(map[string]error{"a": errBusy, "b": errBusy})}, []string{`Sentinels["b"]`, `"a"`}},
		"nil":                  {[]codec.ErrorSet{sentinels(map[string]error{"a": nil})}, []string{`Sentinels["a"]`, "nil"}},
		"typed nil":            {[]codec.ErrorSet{sentinels(map[string]error{"a": (*cardError)(nil)})}, []string{`Sentinels["a"]`, "nil"}},
		"not comparable":       {[]codec.ErrorSet{sentinels(map[string]error{"a": valueError{}})}, []string{`Sentinels["a"]`, "valueError", "compared"}},
		"empty name":           {[]codec.ErrorSet{sentinels(map[string]error{"": errBusy})}, []string{"empty"}},
		"long name":            {[]codec.ErrorSet{types(card(strings.Repeat("x", codec.MaxErrorName+1)))}, []string{"129 bytes"}},
		"type twice":           {[]codec.ErrorSet{types(card("a"), card("b"))}, []string{`Types[1] ("b")`, "*codec_test.cardError", `"a"`}},
		"empty type":           {[]codec.ErrorSet{types(codec.ErrorType{})}, []string{"Types[0]", "ErrorTypeOf"}},
		"interface":            {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[error]{}))}, []string{"interface", "Like"}},
		"like without hooks":   {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[error]{Like: errBusy}))}, []string{"Like", "Encode"}},
		"one hook":             {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[*cardError]{Encode: encode}))}, []string{"Decode"}},
		"hooks and codec":      {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[*cardError]{Encode: encode, Decode: decode, Codec: codec.Gob}))}, []string{"Codec"}},
		"nil in Accept":        {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[*cardError]{Accept: []codec.Codec{nil}}))}, []string{"Accept[0]"}},
		"nothing exported":     {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[*silent]{}))}, []string{"exported"}},
		"channel":              {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[channelError]{}))}, []string{".C", "chan int"}},
		"an error deep within": {[]codec.ErrorSet{types(codec.ErrorTypeOf("a", codec.ErrorTypeOptions[deepCause]{}))}, []string{".Inner.Err"}},
		"a standard name":      {[]codec.ErrorSet{sentinels(map[string]error{"io.EOF": errBusy})}, []string{`"io.EOF"`, "standard"}},
		"a standard type name": {[]codec.ErrorSet{types(card("fs.PathError"))}, []string{`"fs.PathError"`, "standard"}},
		"alias of nothing":     {[]codec.ErrorSet{{Aliases: map[string]string{"old": "new"}}}, []string{`Aliases["old"]`, `"new"`}},
		"alias of a name":      {[]codec.ErrorSet{{Sentinels: map[string]error{"a": errBusy, "b": errDeclined}, Aliases: map[string]string{"a": "b"}}}, []string{`Aliases["a"]`, "twice"}},
	} {
		_, err := codec.NewErrors(test.sets...)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want one that has %q", name, err, want)
			}
		}
	}
}

func TestSetsMayNameStandardErrors(t *testing.T) {
	mine := newErrors(t, codec.ErrorSet{
		Sentinels: map[string]error{"io.EOF": io.EOF, "my.NotExist": fs.ErrNotExist},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("my.PathError", codec.ErrorTypeOptions[*fs.PathError]{})},
	})
	_, err := os.Open("/does/not/exist")
	err = errors.Join(io.EOF, fs.ErrNotExist, err)
	var standard *codec.Errors
	got := replay(t, mine, mine, err)
	sameShape(t, "own names", err, got)
	sameAs[*fs.PathError](t, err, got)
	got = replay(t, standard, mine, err)
	sameShape(t, "written with standard names", err, got)
	sameAs[*fs.PathError](t, err, got)
}

func TestAliasesAreRead(t *testing.T) {
	old := newErrors(t, codec.ErrorSet{
		Sentinels: map[string]error{"busy": errBusy},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("card", codec.ErrorTypeOptions[*cardError]{})},
	})
	renamed := newErrors(t, codec.ErrorSet{
		Sentinels: map[string]error{"gateway.busy": errBusy},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("gateway.card", codec.ErrorTypeOptions[*cardError]{})},
		Aliases:   map[string]string{"busy": "gateway.busy", "card": "gateway.card"},
	})
	got := replay(t, old, renamed, &cardError{Code: "c", Err: errBusy})
	var card *cardError
	if !errors.Is(got, errBusy) || !errors.As(got, &card) || card.Code != "c" {
		t.Errorf("renamed: %v, %+v", errors.Is(got, errBusy), card)
	}
	got = replay(t, renamed, old, &cardError{Code: "c", Err: errBusy})
	if errors.Is(got, errBusy) || errors.As(got, &card) {
		t.Error("an alias was written")
	}
}

func TestTypesOfOtherCodecs(t *testing.T) {
	options := func(c codec.Codec, accept ...codec.Codec) *codec.Errors {
		return newErrors(t, types(
			codec.ErrorTypeOf("card", codec.ErrorTypeOptions[*cardError]{Codec: c, Accept: accept}),
			codec.ErrorTypeOf("m", codec.ErrorTypeOptions[*marshaled]{}),
		))
	}
	err := fmt.Errorf("x: %w", &cardError{"c", 3, io.EOF})
	json, gob := options(nil), options(codec.Gob)
	both := options(codec.Gob, codec.JSON)
	for _, test := range []struct {
		write, read *codec.Errors
		typed       bool
	}{{gob, gob, true}, {json, both, true}, {gob, both, true}, {json, gob, false}, {gob, json, false}} {
		got := replay(t, test.write, test.read, err)
		sameShape(t, "root", err, got)
		var card *cardError
		if errors.As(got, &card) != test.typed || !errors.Is(got, io.EOF) {
			t.Errorf("typed: %v, want %v", !test.typed, test.typed)
		}
		if test.typed && (card.Code != "c" || card.Amount != 3 || card.Err != io.EOF) {
			t.Errorf("card is %+v", card)
		}
	}
	sameAs[*marshaled](t, &marshaled{"m"}, replay(t, json, json, &marshaled{"m"}))
}

// unnamed stands for a type of another package's internals.
func unnamed(text string) error {
	type hidden struct{ error }
	return hidden{errors.New(text)}
}

func TestTypesThatCanNotBeNamed(t *testing.T) {
	r := newErrors(t, types(codec.ErrorTypeOf("hidden", codec.ErrorTypeOptions[error]{
		Like:   unnamed(""),
		Encode: func(err error) ([]byte, error) { return []byte(err.Error()), nil },
		Decode: func(data []byte, _ []error) (error, error) { return unnamed(string(data)), nil },
	})))
	err := unnamed("text")
	if got := replay(t, r, r, err); fmt.Sprintf("%T %v", got, got) != fmt.Sprintf("%T %v", err, err) {
		t.Errorf("got %T %v", got, got)
	}
}
