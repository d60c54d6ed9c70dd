package zstd_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	lib "github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/zstd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ codec.Transform = (*zstd.Transform)(nil)

func newTransform(t testing.TB, options zstd.Options) *zstd.Transform {
	t.Helper()
	transform, err := zstd.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return transform
}

func samples() map[string][]byte {
	random := make([]byte, 100_000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return map[string][]byte{
		"empty": {}, "one byte": {7}, "short": []byte("short"), "255": bytes.Repeat([]byte("a"), 255), "256": bytes.Repeat([]byte("a"), 256),
		"text": []byte(strings.Repeat(`{"id":"ch_1","amount":4200,"currency":"eur"}`, 1000)), "random": random,
		"zeros": make([]byte, 5<<20), "more than the window": bytes.Repeat(random, 30),
	}
}

func TestRoundTrips(t *testing.T) {
	for _, options := range []zstd.Options{{}, {Level: 1, Threshold: -1}, {Level: 8, Threshold: 1}, {Level: 22, Threshold: 1 << 20}} {
		transform := newTransform(t, options)
		reader := newTransform(t, zstd.Options{})
		for name, plain := range samples() {
			sealed, err := transform.Seal([]byte("before"), plain, nil)
			if err != nil || string(sealed[:6]) != "before" {
				t.Fatalf("%+v, %s: %v", options, name, err)
			}
			if len(sealed) > len(plain)+6+1 {
				t.Errorf("%+v, %s: %d bytes became %d", options, name, len(plain), len(sealed)-6)
			}
			if name == "text" && len(plain) > 2*options.Threshold && len(sealed) > len(plain)/10 {
				t.Errorf("%+v: %d bytes of text became %d", options, len(plain), len(sealed))
			}
			opened, err := reader.Open([]byte("before"), sealed[6:], nil, len(plain))
			if err != nil || string(opened[:6]) != "before" || !bytes.Equal(opened[6:], plain) {
				t.Errorf("%+v, %s: %d bytes came back as %d, %v", options, name, len(plain), len(opened)-6, err)
			}
			if _, err := reader.Open(nil, sealed[6:], nil, len(plain)-1); !errors.Is(err, zstd.ErrTooLarge) {
				t.Errorf("%+v, %s, below its size: %v", options, name, err)
			}
		}
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	for _, level := range []int{-1, 23} {
		if _, err := zstd.New(zstd.Options{Level: level}); err == nil || !strings.Contains(err.Error(), "Options.Level") {
			t.Errorf("level %d: %v", level, err)
		}
	}
}

// bomb is a frame of size zeros, in as few bytes as the format allows, announced
// as less.
func bomb(t testing.TB, size int, announced uint64, withSize bool) []byte {
	encoder, err := lib.NewWriter(nil, lib.WithEncoderLevel(lib.SpeedBestCompression), lib.WithSingleSegment(withSize))
	if err != nil {
		t.Fatal(err)
	}
	sealed := binary.AppendUvarint([]byte{1}, announced)
	if withSize {
		return encoder.EncodeAll(make([]byte, size), sealed)
	}
	var stream bytes.Buffer // a stream doesn't say how large it is
	encoder.Reset(&stream)
	for range size / (1 << 20) {
		if _, err := encoder.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	return append(sealed, stream.Bytes()...)
}

func TestBombs(t *testing.T) {
	const limit, size = 1 << 20, 64 << 20
	transform := newTransform(t, zstd.Options{})
	for name, sealed := range map[string][]byte{
		"announced":                   bomb(t, size, size, true),
		"announced in the frame only": bomb(t, size, limit, true),
		"not announced":               bomb(t, size, limit, false),
		"announced as nothing":        bomb(t, size, 0, false),
		"many frames":                 append([]byte{1, 0x80, 0x80, 0x40}, bytes.Repeat(bomb(t, 1<<20, 0, true)[2:], 1000)...),
	} {
		if len(sealed) > 1<<20 {
			t.Fatalf("%s: the bomb itself has %d bytes", name, len(sealed))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		opened, err := transform.Open(nil, sealed, nil, limit)
		runtime.ReadMemStats(&after)
		if err == nil || opened != nil {
			t.Errorf("%s: %d bytes came out, %v", name, len(opened), err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*limit {
			t.Errorf("%s: allocated %d bytes", name, grown)
		}
	}
}

func TestBrokenData(t *testing.T) {
	transform := newTransform(t, zstd.Options{})
	plain := samples()["text"]
	sealed, err := transform.Seal(nil, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range sealed {
		if _, err := transform.Open(nil, sealed[:n], nil, len(plain)); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(sealed))
		}
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 0x40
		if opened, err := transform.Open(nil, broken, nil, len(plain)); err == nil && !bytes.Equal(opened, plain) {
			t.Fatalf("byte %d changed: other bytes came out", i)
		}
	}
	if _, err := transform.Open(nil, append([]byte{9}, sealed[1:]...), nil, len(plain)); !errors.Is(err, zstd.ErrCorrupt) {
		t.Errorf("another way of sealing: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	transform := newTransform(t, zstd.Options{Threshold: -1})
	all := samples()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for name, plain := range all {
				if len(plain) > 1<<20 {
					continue
				}
				sealed, err := transform.Seal(nil, plain, nil)
				if err != nil {
					t.Error(err)
				}
				if opened, err := transform.Open(nil, sealed, nil, len(plain)); err != nil || !bytes.Equal(opened, plain) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	group.Wait()
}

func FuzzOpen(f *testing.F) {
	transform := newTransform(f, zstd.Options{Threshold: -1})
	for _, plain := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("text "), 200)} {
		sealed, err := transform.Seal(nil, plain, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
	}
	f.Add(bomb(f, 4<<20, 1<<16, true))
	f.Add(bomb(f, 4<<20, 1<<16, false))
	const limit = 1 << 16
	f.Fuzz(func(t *testing.T, sealed []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		opened, err := transform.Open(nil, sealed, nil, limit)
		runtime.ReadMemStats(&after)
		if len(opened) > limit || err != nil && opened != nil {
			t.Fatalf("%d bytes came out, %v", len(opened), err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
			t.Fatalf("%d bytes made it allocate %d", len(sealed), grown)
		}
		again, err := transform.Seal(nil, sealed, nil)
		if err != nil {
			t.Fatal(err)
		}
		if opened, err := transform.Open(nil, again, nil, len(sealed)); err != nil || !bytes.Equal(opened, sealed) {
			t.Fatalf("%x came back as %x, %v", sealed, opened, err)
		}
	})
}

func BenchmarkTransform(b *testing.B) {
	transform := newTransform(b, zstd.Options{})
	plain := []byte(strings.Repeat(`{"id":"ch_1","amount":4200,"currency":"eur"}`, 100))
	sealed, err := transform.Seal(nil, plain, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			transform.Seal(nil, plain, nil)
		}
	})
	b.Run("Open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			transform.Open(nil, sealed, nil, 1<<20)
		}
	})
}
