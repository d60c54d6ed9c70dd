package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// An error record is a version and a tree of nodes in the original's order:
//
//	record  version, node
//	node    string text, string type name, rest
//	rest    kind, items, 0
//	item    1 node | 2 uvarint offset, uvarint length, string type name, rest   what Unwrap returned
//	        3 node | 4 as 2                                                    held by a field only
//	        5 node                                                             what As set
//	        tag from 16 on, bytes                                              a field
//
// Strings and bytes have a uvarint length before them. Offset and length say
// where the text lies in the parent's, which for wrapped errors it mostly does.
//
// Every version starts with the root's text and type name, so that an older
// reader can give at least those; fields that it doesn't know are skipped, and
// a node of a kind or name that it doesn't know keeps text and type name.

const errorRecordVersion = 1

type errorKind uint8

const (
	kindPlain errorKind = iota
	kindSentinel
	kindTyped
)

const (
	itemEnd byte = iota
	itemChild
	itemChildInText
	itemHeld
	itemHeldInText
	itemAs

	firstField = 16

	fieldName   = 16 // of a sentinel or type
	fieldCodec  = 17 // what encoded fieldData; absent for hooks
	fieldData   = 18
	fieldMatch  = 19 // name of a sentinel for which the error's Is method answered true
	fieldTraits = 20
	fieldCause  = 21 // uvarint n, name: the field of that name holds the n-th node of items 1 to 4, which precede it
	fieldNil    = 22 // a nil pointer of the type
)

// Traits are what an error's methods say that code asks for without knowing the
// type.
const (
	traitHasTimeout = 1 << iota
	traitTimeout
	traitHasTemporary
	traitTemporary
	traitJoined // Unwrap returns a slice
)

// The bounds of version 1. A writer leaves out what is beyond them, a reader
// refuses it.
const (
	maxErrorDepth = 256
	maxErrorNodes = 1024
)

// Decoded is what a record says of an error.
type Decoded struct {
	// Text is the original's Error(), TypeName its Go type as fmt's %T prints it.
	Text, TypeName string
	// Err is the rebuilt error; never nil. Its Error() is Text.
	Err error
}

var errErrorRecord = errors.New("codec: broken error record")

// Decode reads a record. An error of Decode means that the record is broken: of
// what it doesn't know, a newer version's or one that can't be decoded any more,
// the text and the type's name are kept. Decode keeps nothing of data. Its memory
// is a small multiple of len(data), plus what the codecs of types allocate.
func (r *Errors) Decode(data []byte) (Decoded, error) {
	if len(data) == 0 {
		return Decoded{}, fmt.Errorf("%w: it is empty", errErrorRecord)
	}
	d := errorReader{registry: r.orStandard(), rest: string(data[1:])}
	if version := data[0]; version != errorRecordVersion {
		return d.newer(version)
	}
	root := &restored{text: d.string()}
	err := d.node(root, 0)
	if d.failed || len(d.rest) > 0 {
		return Decoded{}, errErrorRecord
	}
	return Decoded{Text: root.text, TypeName: root.typeName, Err: err}, nil
}

// newer reads what every version starts with.
func (d *errorReader) newer(version byte) (Decoded, error) {
	n := &restored{text: d.string(), typeName: d.string()}
	if d.failed || version == 0 {
		return Decoded{}, fmt.Errorf("%w: version %d", errErrorRecord, version)
	}
	return Decoded{Text: n.text, TypeName: n.typeName, Err: n.asError()}, nil
}

// errorReader takes fields from the front of rest. After the first that isn't
// there it has failed, and everything that it returns is zero.
type errorReader struct {
	registry *Errors
	rest     string
	nodes    int
	failed   bool
}

// node reads what follows the text of n and returns the rebuilt error.
func (d *errorReader) node(n *restored, depth int) error {
	if d.nodes++; d.nodes > maxErrorNodes || depth > maxErrorDepth {
		d.fail()
		return nil
	}
	n.typeName = d.string()
	n.kind = errorKind(d.byte())
	for !d.failed {
		switch tag := d.byte(); {
		case tag == itemEnd:
			return d.registry.rebuild(n)
		case tag == itemChild || tag == itemChildInText:
			if len(n.held) > 0 { // they are counted in this order
				d.fail()
			}
			n.children = append(n.children, d.child(n, tag == itemChildInText, depth))
		case tag == itemHeld || tag == itemHeldInText:
			n.held = append(n.held, d.child(n, tag == itemHeldInText, depth))
		case tag == itemAs:
			n.as = append(n.as, d.child(n, false, depth))
		case tag >= firstField:
			d.field(n, tag, d.string())
		default:
			d.fail()
		}
	}
	return nil
}

func (d *errorReader) child(parent *restored, inText bool, depth int) error {
	n := &restored{}
	if !inText {
		n.text = d.string()
	} else {
		offset, length, size := d.uvarint(), d.uvarint(), uint64(len(parent.text))
		if offset > size || length > size-offset {
			d.fail()
			return nil
		}
		n.text = parent.text[offset : offset+length]
	}
	return d.node(n, depth+1)
}

func (d *errorReader) field(n *restored, tag byte, data string) {
	switch tag {
	case fieldName:
		n.name = data
	case fieldCodec:
		n.codec = data
	case fieldData:
		n.data = data
	case fieldMatch:
		n.matches = append(n.matches, data)
	case fieldTraits:
		if len(data) > 0 {
			n.traits = data[0]
		}
	case fieldCause:
		inner := errorReader{rest: data}
		number := inner.uvarint()
		// Each node is used once. Otherwise a small record could describe a tree
		// that takes for ever to walk.
		if number < uint64(len(n.children)+len(n.held)) && !n.isUsed(int(number)) {
			n.causes = append(n.causes, recordedCause{int(number), inner.rest})
		}
	case fieldNil:
		n.isNil = true
	}
}

func (d *errorReader) fail() {
	d.failed, d.rest = true, ""
}

func (d *errorReader) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *errorReader) uvarint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := d.byte()
		if shift == 63 && b > 1 {
			break
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	d.fail()
	return 0
}

func (d *errorReader) string() string {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func appendText[S string | []byte](dst []byte, s S) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
