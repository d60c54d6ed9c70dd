package wire

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/reprise-go/reprise/backend"
)

const (
	// DefaultPrefix begins every key and channel name where Options.Prefix is
	// empty.
	DefaultPrefix = "reprise:"
	// MaxPrefix is the length of the longest prefix in bytes.
	MaxPrefix = 64
)

// The byte after the slot tag tells the kinds of keys apart.
const (
	kindRecord = ':'
	kindSide   = '!'
)

// Layout names keys and channels. A name is the prefix, a slot tag in braces,
// one byte for the kind, and for a record the storage key as it is. The prefix
// has no braces, so the tag is always the first pair of them: what stands in
// the storage key never chooses a cluster slot, and no two of (prefix, kind,
// storage key) share a name.
type Layout struct{ prefix string }

// NewLayout checks the prefix; empty means [DefaultPrefix].
func NewLayout(prefix string) (Layout, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if len(prefix) > MaxPrefix {
		return Layout{}, fmt.Errorf("Options.Prefix has %d bytes, want at most %d: %w", len(prefix), MaxPrefix, backend.ErrInvalid)
	}
	if i := strings.IndexAny(prefix, "{}"); i >= 0 {
		return Layout{}, fmt.Errorf("Options.Prefix has %q at byte %d, want no braces: %w", prefix[i], i, backend.ErrInvalid)
	}
	return Layout{prefix: prefix}, nil
}

// Prefix is what every name begins with.
func (l Layout) Prefix() string { return l.prefix }

// Record is the name of the Redis key that holds the record of a storage key.
func (l Layout) Record(storageKey string) string {
	var buf [128]byte
	return string(l.appendRecord(buf[:0], storageKey))
}

func (l Layout) appendRecord(dst []byte, storageKey string) []byte {
	dst = append(dst, l.prefix...)
	dst = appendTag(dst, storageKey)
	dst = append(dst, kindRecord)
	return append(dst, storageKey...)
}

// Channel is the name of the channel on which the waiters of a storage key are
// woken: that of its record.
func (l Layout) Channel(storageKey string) string { return l.Record(storageKey) }

// Side is a fresh name for the key that carries a large outcome to the commit
// script. It lies in the slot of the record and names the token; the random
// rest keeps apart two sends under one token that carry different outcomes.
func (l Layout) Side(storageKey string, token backend.Token) string {
	b := make([]byte, 0, len(l.prefix)+6+1+2*len(token)+16)
	b = append(b, l.prefix...)
	b = appendTag(b, storageKey)
	b = append(b, kindSide)
	b = hex.AppendEncode(b, token[:])
	var nonce [8]byte
	putUint(nonce[:], rand.Uint64())
	return string(hex.AppendEncode(b, nonce[:]))
}

const tagAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// appendTag appends the slot tag: 24 bits of a hash of the storage key, a
// thousand times the number of slots.
func appendTag(b []byte, storageKey string) []byte {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(storageKey) {
		h = (h ^ uint64(storageKey[i])) * 1099511628211
	}
	h ^= h >> 24
	h ^= h >> 48
	return append(b, '{',
		tagAlphabet[h&63], tagAlphabet[h>>6&63], tagAlphabet[h>>12&63], tagAlphabet[h>>18&63], '}')
}
