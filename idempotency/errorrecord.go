package idempotency

import (
	"fmt"
)

// An error record is a tree of nodes, each with the text and the Go type of one
// error, and for some a kind that lets it be restored:
//
//	node  kind, string text, string type name, string name, string data, uvarint n, n nodes
//
// name and data are those of the kind (empty for a plain error and a panic). A
// reader that doesn't know a kind keeps text and type name.

type errorNodeKind uint8

const (
	errorPlain errorNodeKind = iota
	errorPanic
)

// maxErrorDepth bounds the recursion of the reader.
const maxErrorDepth = 32

type errorNode struct {
	kind     errorNodeKind
	text     string
	typeName string
	name     string
	data     []byte
	children []errorNode
}

// describeError is the node of an action's error.
func describeError(err error) errorNode {
	node := errorNode{text: err.Error(), typeName: fmt.Sprintf("%T", err)}
	if p, ok := err.(*PanicError); ok {
		node.kind = errorPanic
		node.text = fmt.Sprint(p.Value)
	}
	return node
}

func (n errorNode) append(dst []byte) []byte {
	dst = append(dst, byte(n.kind))
	dst = appendString(dst, n.text)
	dst = appendString(dst, n.typeName)
	dst = appendString(dst, n.name)
	dst = appendString(dst, n.data)
	dst = append(dst, byte(len(n.children)))
	for _, child := range n.children {
		dst = child.append(dst)
	}
	return dst
}

func parseErrorNode(data []byte) (errorNode, error) {
	r := reader{rest: data}
	node := r.errorNode(0)
	if r.failed {
		return errorNode{}, fmt.Errorf("error record: %w", errFormat)
	}
	return node, nil
}

func (r *reader) errorNode(depth int) (n errorNode) {
	if depth > maxErrorDepth {
		r.fail()
		return n
	}
	n.kind = errorNodeKind(r.byte())
	n.text = string(r.bytes())
	n.typeName = string(r.bytes())
	n.name = string(r.bytes())
	n.data = r.bytes()
	for count := r.byte(); count > 0 && !r.failed; count-- {
		n.children = append(n.children, r.errorNode(depth+1))
	}
	return n
}

// restore is the error that a replay returns for the node.
func (n errorNode) restore() (text string, err error) {
	if n.kind == errorPanic {
		p := &PanicError{Value: n.text}
		return p.Error(), p
	}
	return n.text, nil
}
