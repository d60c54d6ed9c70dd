package idempotency

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Bounds of metadata: of Call.Metadata, and of what an action sets beside its
// answer, each.
const (
	MaxMetadataPairs = 16
	MaxMetadataKey   = 64
	MaxMetadataValue = 256
	// MaxMetadata bounds keys and values together, in bytes.
	MaxMetadata = 2 << 10
)

// SetMetadata puts a pair beside the answer of the action that runs in ctx: the
// provider's id of a charge, for example. It is kept in the record in the clear,
// whatever the transforms, and seen by Executor.Lookup, Result and observers. A
// pair that was set before, by Call.Metadata too, is replaced. It returns an
// error that names the bound for what is out of it, and where ctx isn't that of a
// running action. It may be called by several goroutines.
func SetMetadata(ctx context.Context, key, value string) error {
	a, ok := ctx.Value(actionKey{}).(*actionContext)
	if !ok {
		return &Error{Step: "metadata", Err: errors.New("ctx isn't that of a running action")}
	}
	if err := a.metadata.set(key, value); err != nil {
		return &Error{Operation: a.execution.Operation, Step: "metadata", Err: err}
	}
	return nil
}

// pairs are the metadata that an action sets.
type pairs struct {
	mu     sync.Mutex
	m      map[string]string
	closed bool
}

func (p *pairs) set(key, value string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("the action has returned")
	}
	next := maps.Clone(p.m)
	if next == nil {
		next = map[string]string{}
	}
	next[key] = value
	if err := checkMetadata(next); err != nil {
		return err
	}
	p.m = next
	return nil
}

// take ends the setting and returns what was set.
func (p *pairs) take() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.m
}

func checkMetadata(m map[string]string) error {
	if len(m) > MaxMetadataPairs {
		return fmt.Errorf("metadata has %d pairs, want at most %d", len(m), MaxMetadataPairs)
	}
	total := 0
	for key, value := range m {
		if len(key) == 0 || len(key) > MaxMetadataKey {
			return fmt.Errorf("metadata has a key of %d bytes, want 1 to %d", len(key), MaxMetadataKey)
		}
		if len(value) > MaxMetadataValue {
			return fmt.Errorf("metadata %q has a value of %d bytes, want at most %d", key, len(value), MaxMetadataValue)
		}
		total += len(key) + len(value)
	}
	if total > MaxMetadata {
		return fmt.Errorf("metadata has %d bytes, want at most %d", total, MaxMetadata)
	}
	return nil
}

// mergedMetadata is what the call said and what the action set, which has
// precedence.
func mergedMetadata(ofCall, ofAction map[string]string) map[string]string {
	if len(ofCall) == 0 {
		return maps.Clone(ofAction)
	}
	merged := maps.Clone(ofCall)
	maps.Copy(merged, ofAction)
	return merged
}

// appendPairs appends pairs in the order of their keys.
func appendPairs(dst []byte, m map[string]string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		dst = appendString(appendString(dst, key), m[key])
	}
	return dst
}

func (r *reader) pairs() map[string]string {
	n := r.uvarint()
	m := map[string]string{}
	for i := uint64(0); i < n && !r.failed; i++ {
		key := string(r.bytes())
		m[key] = string(r.bytes())
	}
	return m
}
