package zstd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	lib "github.com/klauspost/compress/zstd"
)

// Options configure [New]. The zero Options are the defaults.
type Options struct {
	// Level is how hard to compress, 1 (fastest) to 22 (smallest), as the zstd
	// program counts; the library has four levels that it maps these to. Records
	// of every level are read. Default: 3.
	Level int
	// Threshold is the size in bytes below which answers are stored as they are.
	// Negative: compress all. Default: 256.
	Threshold int
}

// Transform compresses. It is safe for concurrent use, and needs no Close: it
// holds memory (per CPU about 8 MiB at the default level, and 40 MiB at the
// highest), but no goroutine.
type Transform struct {
	threshold int
	encoder   *lib.Encoder
	decoder   *lib.Decoder
}

const (
	defaultLevel     = 3
	defaultThreshold = 256

	// window bounds the memory of an encoder. Answers are mostly smaller, so that
	// a larger one would find no more.
	window = 1 << 20
	// maxWindow bounds what a decoder accepts, the encoder's of other programs
	// included.
	maxWindow = 128 << 20
)

// What was sealed starts with a byte that says how. Compressed, the size of the
// plain bytes follows as a uvarint, and then one frame.
const (
	stored byte = iota
	compressed
)

// New returns a transform. It returns an error that names the field for options
// out of their bounds.
func New(options Options) (*Transform, error) {
	o := options
	if o.Level == 0 {
		o.Level = defaultLevel
	}
	if o.Level < 1 || o.Level > 22 {
		return nil, fmt.Errorf("zstd: Options.Level is %d, want 1 to 22", o.Level)
	}
	if o.Threshold == 0 {
		o.Threshold = defaultThreshold
	}
	encoder, err := lib.NewWriter(nil,
		lib.WithEncoderLevel(lib.EncoderLevelFromZstd(o.Level)), lib.WithWindowSize(window), lib.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	decoder, err := lib.NewReader(nil,
		lib.WithDecodeAllCapLimit(true), lib.WithDecoderMaxWindow(maxWindow), lib.WithDecoderLowmem(true), lib.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return &Transform{o.Threshold, encoder, decoder}, nil
}

// Name is "zstd".
func (t *Transform) Name() string { return "zstd" }

// Seal appends plain to dst, compressed where that makes it smaller. Associated
// is ignored.
func (t *Transform) Seal(dst, plain, associated []byte) ([]byte, error) {
	start := len(dst)
	if len(plain) >= t.threshold {
		dst = slices.Grow(dst, len(plain)/2+32)
		dst = binary.AppendUvarint(append(dst, compressed), uint64(len(plain)))
		dst = t.encoder.EncodeAll(plain, dst)
		if len(dst)-start <= len(plain) {
			return dst, nil
		}
	}
	return append(append(dst[:start], stored), plain...), nil
}

// Errors of Open. They tell nothing of the content.
var (
	// ErrCorrupt: the bytes are not what Seal made.
	ErrCorrupt = errors.New("zstd: broken data")
	// ErrTooLarge: the plain bytes are more than the limit.
	ErrTooLarge = errors.New("zstd: the plain bytes are more than the limit")
)

// Open appends the plain bytes to dst. It allocates at most limit bytes for them:
// what announces more is [ErrTooLarge], and what turns out to have more than it
// announced is [ErrCorrupt]. Associated is ignored.
func (t *Transform) Open(dst, sealed, associated []byte, limit int) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, ErrCorrupt
	}
	how, data := sealed[0], sealed[1:]
	switch how {
	case stored:
		if len(data) > limit {
			return nil, ErrTooLarge
		}
		return append(dst, data...), nil
	case compressed:
		size, n := binary.Uvarint(data)
		if n <= 0 {
			return nil, ErrCorrupt
		}
		if limit < 0 || size > uint64(limit) {
			return nil, ErrTooLarge
		}
		return t.decompress(dst, data[n:], int(size))
	}
	return nil, fmt.Errorf("%w: made in a newer way (%d)", ErrCorrupt, how)
}

func (t *Transform) decompress(dst, frame []byte, size int) ([]byte, error) {
	start := len(dst)
	dst = slices.Grow(dst, size)
	end := start + size
	// The decoder writes into exactly these bytes, and refuses to write more.
	plain, err := t.decoder.DecodeAll(frame, dst[start:start:end])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if len(plain) != size {
		return nil, ErrCorrupt
	}
	return dst[:end], nil
}
