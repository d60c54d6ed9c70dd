package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Append appends the record of err to dst and returns the extended slice. The
// record takes at most limit bytes: of a tree that is too large, too deep or
// cyclic the nodes are left out that come last in the order in which errors.Is
// walks, and the data of a type that doesn't fit is left out. Append returns an
// error, and dst as it was, only where err is nil or its own text doesn't fit.
//
// A method of an error that panics is as if the error didn't have it; the text
// is then what fmt prints. A type that can't be encoded is kept like one that
// isn't registered.
func (r *Errors) Append(dst []byte, err error, limit int) ([]byte, error) {
	if err == nil {
		return dst, errors.New("codec: the error is nil")
	}
	w := errorWriter{registry: r.orStandard(), dst: dst, start: len(dst), limit: limit}
	w.dst = append(w.dst, errorRecordVersion)
	if !w.node(err, itemEnd, itemEnd, "", 0) {
		return dst, fmt.Errorf("codec: the text of the error doesn't fit into %d bytes", limit)
	}
	return w.dst, nil
}

type errorWriter struct {
	registry *Errors
	dst      []byte
	start    int
	limit    int
	nodes    int
}

// fits tells whether the record is within its limit when all open nodes are
// ended.
func (w *errorWriter) fits(depth int) bool {
	return len(w.dst)-w.start+depth+1 <= w.limit
}

// undoUnless takes back what was written from mark on if it doesn't fit.
func (w *errorWriter) undoUnless(mark, depth int) bool {
	if w.fits(depth) {
		return true
	}
	w.dst = w.dst[:mark]
	return false
}

// node writes the item of err with one of its tags (none for the root) and
// reports whether it fit.
func (w *errorWriter) node(err error, inline, inText byte, parentText string, depth int) bool {
	if w.nodes >= maxErrorNodes || depth > maxErrorDepth {
		return false
	}
	mark := len(w.dst)
	was := restoredBehind(err)
	text, typeName, subject := "", "", err
	if was != nil {
		text, typeName = was.text, was.typeName
		if known := was.live(); known != nil {
			subject = known
		}
	} else {
		text, _ = errorText(err)
		typeName = reflect.TypeOf(err).String()
	}
	w.text(text, inline, inText, parentText)
	w.dst = appendText(w.dst, typeName)
	kindAt := len(w.dst)
	w.dst = append(w.dst, byte(kindPlain))
	if !w.undoUnless(mark, depth) {
		return false
	}
	w.nodes++
	typ := w.identity(subject, was, kindAt, depth)
	w.matches(subject, was, depth)
	children, joined := unwrap(err)
	w.traits(err, joined, depth)
	next := 0 // the number that the next node of items 1 to 4 gets
	var at []int
	if len(children) > 0 {
		at = make([]int, len(children))
	}
	for i, child := range children {
		at[i] = -1
		if w.node(child, itemChild, itemChildInText, text, depth+1) {
			at[i], next = next, next+1
		}
	}
	if typ != nil {
		w.held(typ.held(subject), text, depth, children, at, next)
	} else if was != nil {
		w.held(was.inFields(), text, depth, children, at, next)
	}
	if kind := errorKind(w.dst[kindAt]); kind == kindPlain {
		w.as(subject, was, depth)
	}
	w.dst = append(w.dst, itemEnd)
	return true
}

func (w *errorWriter) text(text string, inline, inText byte, parentText string) {
	if inText != itemEnd && text != "" {
		if at := strings.Index(parentText, text); at >= 0 {
			w.dst = append(w.dst, inText)
			w.dst = binary.AppendUvarint(w.dst, uint64(at))
			w.dst = binary.AppendUvarint(w.dst, uint64(len(text)))
			return
		}
	}
	if inline != itemEnd {
		w.dst = append(w.dst, inline)
	}
	w.dst = appendText(w.dst, text)
}

func (w *errorWriter) field(tag byte, data string) {
	w.dst = appendText(append(w.dst, tag), data)
}

// identity writes what lets err be rebuilt, and returns its type if it is a
// registered one that could be encoded.
func (w *errorWriter) identity(err error, was *restored, kindAt, depth int) (typ *ErrorType) {
	mark := len(w.dst)
	kind := kindPlain
	if name, ok := w.registry.nameOf(err); ok {
		kind = kindSentinel
		w.field(fieldName, name)
	} else if t, ok := w.registry.byType[reflect.TypeOf(err)]; ok {
		if isNilError(err) {
			kind = kindTyped
			w.field(fieldName, t.name)
			w.field(fieldNil, "")
		} else if codec, data, encodeErr := t.safeEncode(err); encodeErr == nil {
			kind, typ = kindTyped, t
			w.field(fieldName, t.name)
			if codec != "" {
				w.field(fieldCodec, codec)
			}
			w.dst = appendText(append(w.dst, fieldData), data)
		}
	} else if was != nil && was.name != "" {
		kind = was.kind
		w.field(fieldName, was.name)
		if was.isNil {
			w.field(fieldNil, "")
		}
		if was.codec != "" {
			w.field(fieldCodec, was.codec)
		}
		if was.data != "" {
			w.field(fieldData, was.data)
		}
	}
	if !w.undoUnless(mark, depth) {
		return nil
	}
	w.dst[kindAt] = byte(kind)
	return typ
}

// matches writes the sentinels that err claims to be.
func (w *errorWriter) matches(err error, was *restored, depth int) {
	if was != nil {
		for _, name := range was.matches {
			w.match(name, depth)
		}
	}
	method, ok := err.(interface{ Is(error) bool })
	if _, ours := err.(restoredError); !ok || ours {
		return
	}
	for _, name := range w.registry.byName {
		sentinel := w.registry.sentinels[name]
		if !identical(sentinel, err) && safeIs(method, sentinel) && (was == nil || !slices.Contains(was.matches, name)) {
			w.match(name, depth)
		}
	}
}

func (w *errorWriter) match(name string, depth int) {
	mark := len(w.dst)
	w.field(fieldMatch, name)
	w.undoUnless(mark, depth)
}

func (w *errorWriter) traits(err error, joined bool, depth int) {
	var traits byte
	if joined {
		traits |= traitJoined
	}
	if method, ok := err.(interface{ Timeout() bool }); ok {
		traits |= traitHasTimeout
		if safeBool(method.Timeout) {
			traits |= traitTimeout
		}
	}
	if method, ok := err.(interface{ Temporary() bool }); ok {
		traits |= traitHasTemporary
		if safeBool(method.Temporary) {
			traits |= traitTemporary
		}
	}
	if traits != 0 {
		mark := len(w.dst)
		w.dst = append(w.dst, fieldTraits, 1, traits)
		w.undoUnless(mark, depth)
	}
}

// held writes which nodes the fields of an error hold: children, whose numbers
// are in at (-1 for those that were left out), and others, which get the numbers
// from next on.
func (w *errorWriter) held(fields []fieldError, text string, depth int, children []error, at []int, next int) {
	var used []int
	for _, f := range fields {
		number, leftOut := -1, false
		for i, child := range children {
			if slices.Contains(used, at[i]) { // another field has it
				continue
			}
			if identical(child, f.err) || !hashable(child) && sameText(child, f.err) {
				number, leftOut = at[i], at[i] < 0
				break
			}
		}
		if leftOut {
			continue
		}
		if number < 0 {
			if !w.node(f.err, itemHeld, itemHeldInText, text, depth+1) {
				continue
			}
			number, next = next, next+1
		}
		used = append(used, number)
		mark := len(w.dst)
		data := append(binary.AppendUvarint(make([]byte, 0, 32), uint64(number)), f.field...)
		w.dst = appendText(append(w.dst, fieldCause), data)
		w.undoUnless(mark, depth)
	}
}

// as writes what the As method of an unregistered error gives for registered
// types.
func (w *errorWriter) as(err error, was *restored, depth int) {
	if was != nil {
		for _, value := range was.as {
			w.node(value, itemAs, itemEnd, "", depth+1)
		}
		return
	}
	method, ok := err.(interface{ As(any) bool })
	if !ok {
		return
	}
	for _, t := range w.registry.typeOrder {
		target := reflect.New(t.typ)
		if !safeAs(method, target.Interface()) {
			continue
		}
		if value := target.Elem().Interface().(error); !isNilError(value) {
			w.node(value, itemAs, itemEnd, "", depth+1)
		}
	}
}
