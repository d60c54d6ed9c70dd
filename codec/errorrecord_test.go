package codec_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// Records are read for as long as answers are kept, and by other versions of the
// program: what is written today must be read for ever.
func TestGoldenErrorRecords(t *testing.T) {
	r := newErrors(t, testSet())
	for name, err := range map[string]error{
		"plain":    errors.New("plain"),
		"sentinel": fmt.Errorf("charge: %w", errDeclined),
		"typed":    errors.Join(&cardError{"expired", 7, fmt.Errorf("because: %w", io.EOF)}, errBusy),
		"hooks":    hooked{"a", "b"},
		"held":     &multiError{Op: "batch", Errs: []error{errBusy}, Hidden: errDeclined},
		"methods":  errors.Join(statusError(503), impostor{}, (*nilSafe)(nil)),
		"path":     &fs.PathError{Op: "open", Path: "/x", Err: syscall.ENOENT},
	} {
		data, appendErr := r.Append(nil, err, maxRecord)
		if appendErr != nil {
			t.Fatal(appendErr)
		}
		file := filepath.Join("testdata", "errors", name+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(data)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden := readHex(t, file)
		if string(golden) != string(data) {
			t.Errorf("%s: the record is\n%x, was\n%x", name, data, golden)
		}
		got, decodeErr := r.Decode(golden)
		if decodeErr != nil {
			t.Fatalf("%s: %v", name, decodeErr)
		}
		sameShape(t, name, err, got.Err)
	}
}

func readHex(t testing.TB, file string) []byte {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// text is a string as records have it.
func text(s string) string { return string(rune(len(s))) + s }

func TestRecordsOfNewerVersions(t *testing.T) {
	r := newErrors(t, testSet())
	busy := "\x01" + text("gateway busy") + text("*errors.errorString") + "\x01" + "\x10" + text("busy") + "\x00"
	for name, data := range map[string]string{
		"newer version":   "\x02" + text("text") + text("*a.Type") + "whatever it has",
		"newer kind":      "\x01" + text("text") + text("*a.Type") + "\x63" + "\x10" + text("name") + busy + "\x00",
		"newer field":     "\x01" + text("text") + text("*a.Type") + "\x00" + "\x7f" + text("???") + busy + "\x00",
		"newer traits":    "\x01" + text("text") + text("*a.Type") + "\x00" + "\x14" + text("\xe0?") + busy + "\x00",
		"unknown names":   "\x01" + text("text") + text("*a.Type") + "\x02" + "\x10" + text("new") + "\x13" + text("new") + busy + "\x00",
		"a cause of none": "\x01" + text("text") + text("*a.Type") + "\x02" + "\x10" + text("card") + "\x11" + text("json") + "\x12" + text("{}") + "\x15" + text("\x09Err") + busy + "\x00",
	} {
		got, err := r.Decode([]byte(data))
		if err != nil || got.Text != "text" || got.TypeName != "*a.Type" || got.Err.Error() != "text" {
			t.Errorf("%s: %+v, %v", name, got, err)
			continue
		}
		if name != "newer version" && !errors.Is(got.Err, errBusy) {
			t.Errorf("%s: lost its cause", name)
		}
	}
}

func TestBrokenRecords(t *testing.T) {
	r := newErrors(t, testSet())
	for name, err := range trees() {
		data, appendErr := r.Append(nil, err, maxRecord)
		if appendErr != nil {
			t.Fatal(appendErr)
		}
		for n := range data {
			if _, err := r.Decode(data[:n]); err == nil {
				t.Fatalf("%s: the first %d of %d bytes were taken", name, n, len(data))
			}
		}
		if _, err := r.Decode(append(data, 0)); err == nil {
			t.Errorf("%s: a byte more was taken", name)
		}
	}
	node := "\x01\x00\x00\x00" // a child without text
	for name, data := range map[string]string{
		"version 0":    "\x00" + text("") + text("") + "\x00\x00",
		"too deep":     "\x01" + strings.Repeat(node, 300)[1:] + strings.Repeat("\x00", 300),
		"too many":     "\x01\x00\x00\x00" + strings.Repeat(node+"\x00", 2000) + "\x00",
		"offset":       "\x01" + text("text") + text("") + "\x00" + "\x02\x05\x00\x00\x00\x00" + "\x00",
		"length":       "\x01" + text("text") + text("") + "\x00" + "\x02\x01\x04\x00\x00\x00" + "\x00",
		"overflow":     "\x01" + text("text") + text("") + "\x00" + "\x02\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00" + "\x00",
		"long uvarint": "\x01" + strings.Repeat("\xff", 12),
		"reserved tag": "\x01" + text("") + text("") + "\x00\x09\x00",
	} {
		if got, err := r.Decode([]byte(data)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzErrorRecord(f *testing.F) {
	r := newErrors(f, testSet())
	for _, err := range trees() {
		data, appendErr := r.Append(nil, err, maxRecord)
		if appendErr != nil {
			f.Fatal(appendErr)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := r.Decode(data)
		if err != nil {
			return
		}
		if got.Err.Error() != got.Text {
			t.Fatalf("text %q, error %q", got.Text, got.Err)
		}
		var card *cardError
		_ = errors.Is(got.Err, errBusy)
		if errors.As(got.Err, &card) && card != nil {
			_ = card.Code
		}
		errors.As(got.Err, new(interface{ Timeout() bool }))
		// What was read can be written, and is then the same.
		again, err := r.Append(nil, got.Err, maxRecord+len(data))
		if err != nil {
			t.Fatalf("Append: %v", err)
		}
		twice, err := r.Decode(again)
		if err != nil {
			t.Fatalf("Decode: %v\n%x\n%x", err, data, again)
		}
		if twice.Text != got.Text || errors.Is(twice.Err, errBusy) != errors.Is(got.Err, errBusy) {
			t.Fatalf("%q became %q", got.Text, twice.Text)
		}
	})
}

func BenchmarkErrors(b *testing.B) {
	r := newErrors(b, testSet())
	for _, test := range []struct {
		name string
		err  error
	}{
		{"plain", errors.New("insufficient funds")},
		{"sentinel", errDeclined},
		{"wrapped", fmt.Errorf("charge: %w", errDeclined)},
		{"tree", errors.Join(fmt.Errorf("charge: %w", &cardError{"expired", 7, fmt.Errorf("because: %w", errDeclined)}), io.EOF)},
	} {
		var data []byte
		b.Run(test.name+"/Append", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data, _ = r.Append(data[:0], test.err, maxRecord)
			}
		})
		b.Run(test.name+"/Decode", func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(data)), "bytes")
			for b.Loop() {
				if _, err := r.Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Systems number their errors differently.
func TestErrorNumbersOfOtherSystems(t *testing.T) {
	r := newErrors(t)
	for data, want := range map[string]error{
		"4242 " + syscall.ENOENT.Error():                              syscall.ENOENT,
		fmt.Sprint(int(syscall.EEXIST), " ", syscall.ENOENT.Error()):  syscall.ENOENT,
		fmt.Sprint(int(syscall.EEXIST), " ", "an error of elsewhere"): nil,
		"not a number": nil,
	} {
		record := "\x01" + text("text") + text("syscall.Errno") + "\x02" + "\x10" + text("syscall.Errno") + "\x12" + text(data) + "\x00"
		got, err := r.Decode([]byte(record))
		var number syscall.Errno
		if err != nil || got.Text != "text" || errors.As(got.Err, &number) != (want != nil) || want != nil && number != want {
			t.Errorf("%q is %v (%v), want %v", data, got.Err, number, want)
		}
	}
}
