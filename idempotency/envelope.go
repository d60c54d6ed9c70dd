package idempotency

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// What the executor puts into a record's Outcome and Metadata. Both start with
// a byte of format version (high half) and flags (low half), so that a newer
// format is recognised and never guessed at.
//
//	metadata  version|flags, uvarint claim time (ms), string operation, [bytes carrier], [pairs], [uvarint since (ms)]
//	outcome   version|flags, kind, uvarint time (ms), [string codec], [transforms], [pairs], payload
//
// Strings and bytes have a uvarint length before them, transforms and pairs their
// number; the payload is the rest.

const (
	formatVersion = 1 << 4

	metadataHasCarrier = 1 << 0
	metadataHasPairs   = 1 << 1
	metadataHasSince   = 1 << 2

	outcomeHasCodec      = 1 << 0
	outcomeHasTransforms = 1 << 1
	outcomeHasPairs      = 1 << 2
)

type outcomeKind uint8

const (
	kindValue   outcomeKind = iota + 1
	kindError               // payload: an error record
	kindNotKept             // payload: why, as text
)

// String is the kind as Lookup tells it.
func (k outcomeKind) String() string {
	switch k {
	case kindValue:
		return "value"
	case kindError:
		return "error"
	case kindNotKept:
		return "not kept"
	}
	return ""
}

// claimMetadata is what a claim says of its call.
type claimMetadata struct {
	operation string
	claimedAt time.Time
	carrier   []byte
	pairs     map[string]string // the call's own
	// since is when the first of the attempts claimed the key that were abandoned
	// one after the other up to this one; zero where none was.
	since time.Time
}

// abandonedSince is since when an effect may have happened that nobody knows of,
// if the claim was abandoned.
func (m claimMetadata) abandonedSince() time.Time {
	if m.since.IsZero() {
		return m.claimedAt
	}
	return m.since
}

func (m claimMetadata) append(dst []byte) []byte {
	flags := byte(formatVersion)
	if len(m.carrier) > 0 {
		flags |= metadataHasCarrier
	}
	if len(m.pairs) > 0 {
		flags |= metadataHasPairs
	}
	if !m.since.IsZero() {
		flags |= metadataHasSince
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, uint64(m.claimedAt.UnixMilli()))
	dst = appendString(dst, m.operation)
	if len(m.carrier) > 0 {
		dst = appendString(dst, m.carrier)
	}
	if len(m.pairs) > 0 {
		dst = appendPairs(dst, m.pairs)
	}
	if !m.since.IsZero() {
		dst = binary.AppendUvarint(dst, uint64(m.since.UnixMilli()))
	}
	return dst
}

var errFormat = errors.New("broken or newer format")

// parseMetadata reads metadata. Its carrier lies in data. Empty data, as a
// foreign writer may leave it, is the zero claimMetadata.
func parseMetadata(data []byte) (claimMetadata, error) {
	var m claimMetadata
	err := m.parse(data, "")
	return m, err
}

// parse is parseMetadata into a zero m, for who expects an operation.
func (m *claimMetadata) parse(data []byte, operation string) error {
	if len(data) == 0 {
		return nil
	}
	r := reader{rest: data}
	flags := r.header()
	m.claimedAt = r.time()
	m.operation = r.text(operation)
	if flags&metadataHasCarrier != 0 {
		m.carrier = r.bytes()
	}
	if flags&metadataHasPairs != 0 {
		m.pairs = r.pairs()
	}
	if flags&metadataHasSince != 0 {
		m.since = r.time()
	}
	if r.failed {
		*m = claimMetadata{}
		return errFormat
	}
	return nil
}

// outcome is an envelope around a payload.
type outcome struct {
	kind       outcomeKind
	at         time.Time
	codec      string            // of a value
	transforms []string          // in the order in which they were applied
	pairs      map[string]string // what the action set
	payload    []byte
}

func (o outcome) append(dst []byte) []byte {
	flags := byte(formatVersion)
	if o.codec != "" {
		flags |= outcomeHasCodec
	}
	if len(o.transforms) > 0 {
		flags |= outcomeHasTransforms
	}
	if len(o.pairs) > 0 {
		flags |= outcomeHasPairs
	}
	dst = append(dst, flags, byte(o.kind))
	dst = binary.AppendUvarint(dst, uint64(o.at.UnixMilli()))
	if o.codec != "" {
		dst = appendString(dst, o.codec)
	}
	if len(o.transforms) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(o.transforms)))
		for _, name := range o.transforms {
			dst = appendString(dst, name)
		}
	}
	if len(o.pairs) > 0 {
		dst = appendPairs(dst, o.pairs)
	}
	return append(dst, o.payload...)
}

// parseOutcome reads an envelope. Its payload lies in data.
func parseOutcome(data []byte) (outcome, error) {
	var o outcome
	err := o.parse(data, "")
	return o, err
}

// parse is parseOutcome into a zero o, for who expects a codec.
func (o *outcome) parse(data []byte, codec string) error {
	r := reader{rest: data}
	flags := r.header()
	o.kind = outcomeKind(r.byte())
	o.at = r.time()
	if flags&outcomeHasCodec != 0 {
		o.codec = r.text(codec)
	}
	if flags&outcomeHasTransforms != 0 {
		n := r.uvarint()
		for i := uint64(0); i < n && !r.failed; i++ {
			o.transforms = append(o.transforms, string(r.bytes()))
		}
	}
	if flags&outcomeHasPairs != 0 {
		o.pairs = r.pairs()
	}
	o.payload = r.rest
	if r.failed || o.kind < kindValue || o.kind > kindNotKept {
		*o = outcome{}
		return fmt.Errorf("outcome: %w", errFormat)
	}
	return nil
}

func appendString[S string | []byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes fields from the front of rest. After the first that isn't there
// it is failed, and everything it returns is zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() {
	r.failed = true
	r.rest = nil
}

// header reads the version and returns the flags.
func (r *reader) header() byte {
	b := r.byte()
	if b&0xf0 != formatVersion {
		r.fail()
	}
	return b & 0x0f
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// text is a string, without an allocation where it is the one that is expected.
func (r *reader) text(expected string) string {
	if b := r.bytes(); string(b) != expected {
		return string(b)
	}
	return expected
}

// maxMilli keeps the times that are read within what time.Time can print.
const maxMilli = 253402300799999 // the end of the year 9999

func (r *reader) time() time.Time {
	ms := r.uvarint()
	if ms > maxMilli {
		r.fail()
	}
	if r.failed {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// associatedData binds a transformed answer to where it belongs.
func associatedData(storageKey, operation string, fingerprint []byte) []byte {
	data := make([]byte, 0, len(storageKey)+len(operation)+len(fingerprint)+6)
	data = appendString(data, storageKey)
	data = appendString(data, operation)
	return appendString(data, fingerprint)
}
