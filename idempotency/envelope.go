package idempotency

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// What the executor puts into a record's Outcome and Metadata. Both start with
// a byte of format version (high half) and flags or shape (low half), so that a
// newer format is recognised and never guessed at. Version 2 is written; 1 is
// read.
//
//	metadata 2  version|flags, [uvarint claim time (ms)], [string operation], [pairs], [uvarint since (ms)], carrier
//	outcome 2   version|shape, uvarint ms since the claim time, payload
//	            version|0, kind, flags, uvarint time (ms), [string codec], [transforms], [pairs], payload
//
//	metadata 1  version|flags, uvarint claim time (ms), string operation, [bytes carrier], [pairs], [uvarint since (ms)]
//	outcome 1   version|flags, kind, uvarint time (ms), [string codec], [transforms], [pairs], payload
//
// Strings and bytes have a uvarint length before them, transforms and pairs their
// number; the carrier of version 2 and the payload are the rest.
//
// Metadata without a claim time has that of the record's fence, which is the
// claim's clock where the key was unknown. An outcome with a shape is an answer
// as most are, without transforms and pairs; the shape tells its kind and codec.

const (
	formatVersion1 = 1 << 4
	formatVersion2 = 2 << 4

	metadataAtFence      = 1 << 0
	metadataHasOperation = 1 << 1
	metadataHasPairs     = 1 << 2
	metadataHasSince     = 1 << 3

	metadata1HasCarrier = 1 << 0
	metadata1HasPairs   = 1 << 1
	metadata1HasSince   = 1 << 2

	outcomeHasCodec      = 1 << 0
	outcomeHasTransforms = 1 << 1
	outcomeHasPairs      = 1 << 2

	shapeGeneral   = 0
	shapeError     = 1
	shapeValueless = 2 // a value of no codec; the values of codecs come after it
)

// codecShapes are the codecs that have shapes, those of this library. Each keeps
// its number.
var codecShapes = [...]string{
	shapeValueless:     "",
	shapeValueless + 1: "json",
	shapeValueless + 2: "raw",
	shapeValueless + 3: "gob",
	shapeValueless + 4: "msgpack",
	shapeValueless + 5: "protobuf",
}

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
	// claimedAt is not stored where it is the time of the record's fence: atFence.
	// A claim that is sent again then has the time of the send that was applied.
	claimedAt time.Time
	atFence   bool
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
	flags := byte(formatVersion2)
	if m.atFence {
		flags |= metadataAtFence
	}
	if m.operation != "" {
		flags |= metadataHasOperation
	}
	if len(m.pairs) > 0 {
		flags |= metadataHasPairs
	}
	if !m.since.IsZero() {
		flags |= metadataHasSince
	}
	dst = append(dst, flags)
	if !m.atFence {
		dst = appendTime(dst, m.claimedAt)
	}
	if m.operation != "" {
		dst = appendString(dst, m.operation)
	}
	if len(m.pairs) > 0 {
		dst = appendPairs(dst, m.pairs)
	}
	if !m.since.IsZero() {
		dst = appendTime(dst, m.since)
	}
	return append(dst, m.carrier...)
}

var errFormat = errors.New("broken or newer format")

// parseMetadata reads a record's metadata. Its carrier lies in the record. Empty
// metadata, as a foreign writer may leave it, is the zero claimMetadata.
func parseMetadata(record *backend.Record) (claimMetadata, error) {
	var m claimMetadata
	err := m.parse(record.Metadata, record.Fence, "")
	return m, err
}

// parse is parseMetadata into a zero m, for who expects an operation.
func (m *claimMetadata) parse(data []byte, fence uint64, operation string) error {
	if len(data) == 0 {
		return nil
	}
	r := reader{rest: data}
	switch version, flags := r.header(); version {
	case formatVersion1:
		m.claimedAt = r.time()
		m.operation = r.text(operation)
		if flags&metadata1HasCarrier != 0 {
			m.carrier = r.bytes()
		}
		if flags&metadata1HasPairs != 0 {
			m.pairs = r.pairs()
		}
		if flags&metadata1HasSince != 0 {
			m.since = r.time()
		}
	case formatVersion2:
		if m.atFence = flags&metadataAtFence != 0; m.atFence {
			m.claimedAt = r.timeOf(milliOfFence(fence))
		} else {
			m.claimedAt = r.time()
		}
		if flags&metadataHasOperation != 0 {
			m.operation = r.text(operation)
		}
		if flags&metadataHasPairs != 0 {
			m.pairs = r.pairs()
		}
		if flags&metadataHasSince != 0 {
			m.since = r.time()
		}
		if n := len(r.rest); n > 0 {
			m.carrier = r.rest[:n:n]
		}
	default:
		r.fail()
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

// append appends the outcome of a claim. claimedAt is the claim time that the
// metadata beside it will be read to have, zero where that isn't certain.
func (o outcome) append(dst []byte, claimedAt time.Time) []byte {
	if at, from := milliOf(o.at), milliOf(claimedAt); !claimedAt.IsZero() && at >= from { // clocks go back
		if shape := o.shape(); shape != shapeGeneral {
			dst = binary.AppendUvarint(append(dst, formatVersion2|shape), at-from)
			return append(dst, o.payload...)
		}
	}
	flags := byte(0)
	if o.codec != "" {
		flags |= outcomeHasCodec
	}
	if len(o.transforms) > 0 {
		flags |= outcomeHasTransforms
	}
	if len(o.pairs) > 0 {
		flags |= outcomeHasPairs
	}
	dst = append(dst, formatVersion2|shapeGeneral, byte(o.kind), flags)
	dst = appendTime(dst, o.at)
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

// shape is the outcome's own, if it has one.
func (o *outcome) shape() byte {
	if len(o.transforms) > 0 || len(o.pairs) > 0 {
		return shapeGeneral
	}
	switch {
	case o.kind == kindError && o.codec == "":
		return shapeError
	case o.kind == kindValue:
		for shape := shapeValueless; shape < len(codecShapes); shape++ {
			if codecShapes[shape] == o.codec {
				return byte(shape)
			}
		}
	}
	return shapeGeneral
}

// parseOutcome reads the envelope of an outcome that was recorded beside the
// metadata with that claim time. Its payload lies in data.
func parseOutcome(data []byte, claimedAt time.Time) (outcome, error) {
	var o outcome
	err := o.parse(data, claimedAt, "")
	return o, err
}

// parse is parseOutcome into a zero o, for who expects a codec.
func (o *outcome) parse(data []byte, claimedAt time.Time, codec string) error {
	r := reader{rest: data}
	switch version, low := r.header(); {
	case version == formatVersion1:
		o.kind = outcomeKind(r.byte())
		o.parseGeneral(&r, low, codec)
	case version == formatVersion2 && low == shapeGeneral:
		o.kind = outcomeKind(r.byte())
		o.parseGeneral(&r, r.byte(), codec)
	case version == formatVersion2 && int(low) < len(codecShapes) && !claimedAt.IsZero():
		o.kind, o.codec = kindValue, codecShapes[low]
		if low == shapeError {
			o.kind = kindError
		}
		o.at = r.timeAfter(claimedAt)
	default:
		r.fail()
	}
	o.payload = r.rest
	if r.failed || o.kind < kindValue || o.kind > kindNotKept {
		*o = outcome{}
		return fmt.Errorf("outcome: %w", errFormat)
	}
	return nil
}

func (o *outcome) parseGeneral(r *reader, flags byte, codec string) {
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

// header reads the first byte's halves.
func (r *reader) header() (version, low byte) {
	b := r.byte()
	return b & 0xf0, b & 0x0f
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

func (r *reader) time() time.Time { return r.timeOf(r.uvarint()) }

func (r *reader) timeOf(ms uint64) time.Time {
	if ms > maxMilli {
		r.fail()
	}
	if r.failed {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// timeAfter reads milliseconds from a time, which was read itself.
func (r *reader) timeAfter(from time.Time) time.Time {
	ms := r.uvarint()
	if ms > maxMilli {
		r.fail()
	}
	return r.timeOf(uint64(from.UnixMilli()) + ms)
}

// milliOf is the nearest to a time that can be read again: a clock may be anywhere.
func milliOf(t time.Time) uint64 { return uint64(min(max(t.UnixMilli(), 0), maxMilli)) }

func appendTime(dst []byte, t time.Time) []byte { return binary.AppendUvarint(dst, milliOf(t)) }

// associatedData binds a transformed answer to where it belongs.
func associatedData(storageKey, operation string, fingerprint []byte) []byte {
	data := make([]byte, 0, len(storageKey)+len(operation)+len(fingerprint)+6)
	data = appendString(data, storageKey)
	data = appendString(data, operation)
	return appendString(data, fingerprint)
}
