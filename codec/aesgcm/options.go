package aesgcm

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// MaxKeyID bounds the ids of keys, in bytes.
	MaxKeyID = 64
)

// Options configure [New]. Printed or logged, they show the ids of the keys and
// never a key.
type Options struct {
	// Keys are the keys by their ids. A key is KeySize random bytes (not a
	// password), an id 1 to MaxKeyID bytes, stored beside each answer in the clear.
	// An id never gets another key. They are copied.
	Keys map[string][]byte `json:"-"`
	// Current is the id of the key that encrypts.
	Current string
}

// Format implements [fmt.Formatter] for every verb.
func (o Options) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "aesgcm.Options{Current: %q, Keys: %q}", o.Current, o.ids())
}

// LogValue implements [slog.LogValuer].
func (o Options) LogValue() slog.Value {
	return slog.GroupValue(slog.String("current", o.Current), slog.Any("keys", o.ids()))
}

func (o Options) ids() []string { return slices.Sorted(maps.Keys(o.Keys)) }

// Format implements [fmt.Formatter]: a Transform doesn't print its keys.
func (t *Transform) Format(f fmt.State, _ rune) {
	if t == nil {
		io.WriteString(f, "<nil>")
		return
	}
	fmt.Fprintf(f, "aesgcm.Transform{Current: %q}", t.current)
}
