package idemhttp

import (
	"bytes"
	"encoding/hex"
	"flag"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/codec"
)

var update = flag.Bool("update", false, "write testdata")

var golden = &Response{
	Status:  201,
	Header:  http.Header{"Content-Type": {"application/json"}, "Link": {"</a>; rel=next", ""}, "Location": {"/payments/1"}},
	Body:    []byte("{\"id\":1}\n\x00\xff"),
	Trailer: http.Header{"X-Sum": {"1"}},
}

// Frames are in stores: what was once written must be read for ever.
func TestGoldenFrame(t *testing.T) {
	const file = "testdata/response.v1.hex"
	data, err := Codec.Append(nil, golden)
	if err != nil {
		t.Fatal(err)
	}
	text := hex.Dump(data)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the frame has changed:\n%s\nwant\n%s", text, want)
	}
	var got *Response
	if err := Codec.Decode(data, &got); err != nil || !reflect.DeepEqual(got, golden) {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func TestFrameKeepsEmptiness(t *testing.T) {
	data, err := Codec.Append(nil, &Response{Status: 204})
	if err != nil {
		t.Fatal(err)
	}
	var got *Response
	if err := Codec.Decode(data, &got); err != nil || got.Status != 204 || len(got.Body)+len(got.Header)+len(got.Trailer) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A section with an odd tag may be skipped by who doesn't know it.
func TestFrameOfALaterVersion(t *testing.T) {
	var got *Response
	skipped := append([]byte{1, 201, 1}, 7, 3, 'n', 'e', 'w', 2, 3, 1, 'A', '1', 0, 'b')
	want := &Response{Status: 201, Header: http.Header{"A": {"1"}}, Body: []byte("b")}
	if err := Codec.Decode(skipped, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, data := range map[string][]byte{
		"an even tag":              {1, 201, 1, 6, 1, 'x', 0},
		"another version":          {2, 201, 1, 0},
		"nothing":                  {},
		"no status":                {1},
		"status 100":               {1, 100, 0},
		"a huge status":            {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"no end":                   {1, 201, 1},
		"a section cut off":        {1, 201, 1, 2, 9, 1, 'A'},
		"a field without a name":   {1, 201, 1, 2, 2, 0, 'v', 0},
		"a name longer than it is": {1, 201, 1, 2, 2, 9, 'v', 0},
		"a length that overflows":  {1, 201, 1, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		got = nil
		if err := Codec.Decode(data, &got); err == nil || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestFrameRefuses(t *testing.T) {
	for name, value := range map[string]any{
		"nil": (*Response)(nil), "another type": Response{Status: 200}, "no status": &Response{},
		"informational": &Response{Status: 103}, "a marker": &Response{Status: 200, notKept: "too long"},
	} {
		if data, err := Codec.Append([]byte("x"), value); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
	var other string
	if err := Codec.Decode([]byte{1, 201, 1, 0}, &other); err == nil {
		t.Error("decoded into a string")
	}
}

// The data is shared by all who get the answer.
func TestDecodedIsACopy(t *testing.T) {
	data, _ := Codec.Append(nil, golden)
	before := bytes.Clone(data)
	var got *Response
	if err := Codec.Decode(data, &got); err != nil {
		t.Fatal(err)
	}
	clear(got.Body)
	if !bytes.Equal(data, before) {
		t.Error("the body lies in the data")
	}
}

func FuzzDecode(f *testing.F) {
	data, _ := Codec.Append(nil, golden)
	f.Add(data)
	f.Add([]byte{1, 201, 1, 7, 3, 'n', 'e', 'w', 0, 'b'})
	f.Add([]byte(strings.Repeat("\xff", 20)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c codec.Codec = Codec
		var got *Response
		if err := c.Decode(data, &got); err != nil {
			return
		}
		again, err := c.Append(nil, got)
		if err != nil {
			t.Fatalf("%+v was decoded, but: %v", got, err)
		}
		var twice *Response
		if err := c.Decode(again, &twice); err != nil || !reflect.DeepEqual(twice, got) {
			t.Fatalf("%+v came back as %+v, %v", got, twice, err)
		}
	})
}
