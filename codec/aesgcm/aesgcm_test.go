package aesgcm_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/aesgcm"
	"github.com/reprise-go/reprise/codec/zstd"
)

var _ codec.Transform = (*aesgcm.Transform)(nil)

var (
	key1 = []byte("0123456789abcdef0123456789abcdeF")
	key2 = []byte("another key of 32 bytes, as many")
)

func newTransform(t testing.TB, current string, keys map[string][]byte) *aesgcm.Transform {
	t.Helper()
	transform, err := aesgcm.New(aesgcm.Options{Keys: keys, Current: current})
	if err != nil {
		t.Fatal(err)
	}
	return transform
}

func TestRoundTrips(t *testing.T) {
	transform := newTransform(t, "1", map[string][]byte{"1": key1})
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 100_000)} {
		for _, associated := range [][]byte{nil, []byte("key, operation, fingerprint")} {
			sealed, err := transform.Seal([]byte("before"), plain, associated)
			if err != nil || string(sealed[:6]) != "before" || len(sealed) != 6+len(plain)+42+1 {
				t.Fatalf("%d bytes became %d, %v", len(plain), len(sealed), err)
			}
			opened, err := transform.Open([]byte("before"), sealed[6:], associated, len(plain))
			if err != nil || string(opened[:6]) != "before" || !bytes.Equal(opened[6:], plain) {
				t.Errorf("%d bytes came back as %d, %v", len(plain), len(opened)-6, err)
			}
			if _, err := transform.Open(nil, sealed[6:], associated, len(plain)-1); !errors.Is(err, aesgcm.ErrTooLarge) {
				t.Errorf("below its size: %v", err)
			}
		}
	}
}

func TestNothingIsReadableOrRepeats(t *testing.T) {
	transform := newTransform(t, "1", map[string][]byte{"1": key1})
	plain := []byte("insufficient funds")
	seen := map[string]bool{}
	for range 1000 {
		sealed, err := transform.Seal(nil, plain, nil)
		if err != nil || seen[string(sealed)] || bytes.Contains(sealed, plain[:4]) {
			t.Fatalf("%x, %v", sealed, err)
		}
		seen[string(sealed)] = true
	}
}

func TestTamperingFails(t *testing.T) {
	transform := newTransform(t, "one", map[string][]byte{"one": key1, "onf": key1})
	plain, associated := []byte("charged 42.00"), []byte("payment-1 charge hash")
	sealed, err := transform.Seal(nil, plain, associated)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for bit := range 8 {
			broken := bytes.Clone(sealed)
			broken[i] ^= 1 << bit
			if opened, err := transform.Open(nil, broken, associated, 1<<20); err == nil || opened != nil {
				t.Fatalf("bit %d of byte %d changed: %q, %v", bit, i, opened, err)
			}
		}
	}
	for n := range sealed {
		if _, err := transform.Open(nil, sealed[:n], associated, 1<<20); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(sealed))
		}
	}
	if _, err := transform.Open(nil, append(bytes.Clone(sealed), 0), associated, 1<<20); !errors.Is(err, aesgcm.ErrAuthentication) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestMovedAnswersFail(t *testing.T) {
	transform := newTransform(t, "1", map[string][]byte{"1": key1})
	sealed, err := transform.Seal(nil, []byte("answer"), []byte("key|operation|fingerprint"))
	if err != nil {
		t.Fatal(err)
	}
	for _, associated := range []string{"kez|operation|fingerprint", "key|operatioN|fingerprint", "key|operation|fingerprin", "", "key|operation|fingerprint "} {
		if _, err := transform.Open(nil, sealed, []byte(associated), 1<<20); !errors.Is(err, aesgcm.ErrAuthentication) {
			t.Errorf("%q: %v", associated, err)
		}
	}
}

func TestRotation(t *testing.T) {
	old := newTransform(t, "2025", map[string][]byte{"2025": key1})
	both := newTransform(t, "2026", map[string][]byte{"2025": key1, "2026": key2})
	next := newTransform(t, "2026", map[string][]byte{"2026": key2})
	swapped := newTransform(t, "2025", map[string][]byte{"2025": key2})
	seal := func(transform *aesgcm.Transform) []byte {
		sealed, err := transform.Seal(nil, []byte("answer"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	for _, test := range []struct {
		name   string
		sealed []byte
		reader *aesgcm.Transform
		want   error
	}{
		{"an old answer after the rotation", seal(old), both, nil},
		{"a new answer", seal(both), both, nil},
		{"a new answer, the old key gone", seal(both), next, nil},
		{"an old answer, its key gone", seal(old), next, aesgcm.ErrKeyUnknown},
		{"a new answer in a process that has not got the key", seal(both), old, aesgcm.ErrKeyUnknown},
		{"an id with another key", seal(old), swapped, aesgcm.ErrAuthentication},
	} {
		opened, err := test.reader.Open(nil, test.sealed, nil, 100)
		if !errors.Is(err, test.want) || err == nil && string(opened) != "answer" {
			t.Errorf("%s: %q, %v", test.name, opened, err)
		}
	}
	if _, err := next.Open(nil, seal(old), nil, 100); !strings.Contains(err.Error(), `"2025"`) {
		t.Errorf("the error doesn't name the key: %v", err)
	}
}

func TestKeysAreCopied(t *testing.T) {
	key, keys := bytes.Clone(key1), map[string][]byte{}
	keys["1"] = key
	transform := newTransform(t, "1", keys)
	clear(key)
	delete(keys, "1")
	sealed, err := transform.Seal(nil, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newTransform(t, "1", map[string][]byte{"1": key1}).Open(nil, sealed, nil, 1); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreErrorsAndShowNoKey(t *testing.T) {
	for want, options := range map[string]aesgcm.Options{
		"Options.Keys is empty":         {Current: "1"},
		"an id of 0 bytes":              {Keys: map[string][]byte{"": key1}},
		"an id of 65 bytes":             {Keys: map[string][]byte{strings.Repeat("x", 65): key1}},
		`Options.Keys["1"] has 31`:      {Keys: map[string][]byte{"1": key1[1:]}, Current: "1"},
		`Options.Keys["1"] has 0`:       {Keys: map[string][]byte{"1": nil}, Current: "1"},
		`Options.Keys["1"] is all zero`: {Keys: map[string][]byte{"1": make([]byte, 32)}, Current: "1"},
		`Options.Current is "2"`:        {Keys: map[string][]byte{"1": key1}, Current: "2"},
		`Options.Current is ""`:         {Keys: map[string][]byte{"1": key1}},
	} {
		_, err := aesgcm.New(options)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "abcdef") {
			t.Errorf("error %v, want one that has %q", err, want)
		}
	}
}

func TestKeysAreNeverPrinted(t *testing.T) {
	options := aesgcm.Options{Keys: map[string][]byte{"1": key1}, Current: "1"}
	transform := newTransform(t, "1", options.Keys)
	var out bytes.Buffer
	for _, v := range []any{options, &options, transform, *transform, struct{ T codec.Transform }{transform}, []any{options, transform}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		encoded, _ := json.Marshal(v)
		out.Write(encoded)
	}
	text := strings.ToLower(out.String())
	decimal := strings.Trim(fmt.Sprint(key1[:8]), "[]")
	for _, secret := range []string{strings.ToLower(string(key1)), hex.EncodeToString(key1), decimal, "mdeymzq1njc4owfiy2rlz"} {
		if strings.Contains(text, secret) {
			t.Errorf("the key is in %s", out.String())
		}
	}
}

func TestComposedWithCompression(t *testing.T) {
	compression, err := zstd.New(zstd.Options{})
	if err != nil {
		t.Fatal(err)
	}
	encryption := newTransform(t, "1", map[string][]byte{"1": key1})
	plain, associated := bytes.Repeat([]byte("a line of a receipt\n"), 1000), []byte("bound")
	packed, err := compression.Seal(nil, plain, associated)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := encryption.Seal(nil, packed, associated)
	if err != nil || len(sealed) > 200 {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	opened, err := encryption.Open(nil, sealed, associated, len(plain))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err = compression.Open(nil, opened, associated, len(plain)); err != nil || !bytes.Equal(opened, plain) {
		t.Errorf("%d bytes came back, %v", len(opened), err)
	}
}

func FuzzOpen(f *testing.F) {
	transform := newTransform(f, "1", map[string][]byte{"1": key1})
	for _, plain := range []string{"", "x", "a longer answer"} {
		sealed, err := transform.Seal(nil, []byte(plain), []byte("bound"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed, []byte("bound"), 100)
	}
	f.Fuzz(func(t *testing.T, sealed, associated []byte, limit int) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		opened, err := transform.Open(nil, sealed, associated, limit)
		runtime.ReadMemStats(&after)
		if err == nil && (len(opened) > limit || string(associated) != "bound") {
			t.Fatalf("opened %q bound to %q within %d", opened, associated, limit)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10+uint64(2*len(sealed)+2*len(associated)) {
			t.Fatalf("%d bytes made it allocate %d", len(sealed), grown)
		}
		again, err := transform.Seal(nil, sealed, associated)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := transform.Open(nil, again, associated, len(sealed)); err != nil || !bytes.Equal(opened, sealed) {
			t.Fatalf("%x came back as %x, %v", sealed, opened, err)
		}
	})
}

func BenchmarkTransform(b *testing.B) {
	transform := newTransform(b, "1", map[string][]byte{"1": key1})
	plain, associated := make([]byte, 128), make([]byte, 64)
	sealed, err := transform.Seal(nil, plain, associated)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			transform.Seal(nil, plain, associated)
		}
	})
	b.Run("Open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			transform.Open(nil, sealed, associated, 1<<20)
		}
	})
}
