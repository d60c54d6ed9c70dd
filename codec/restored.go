package codec

import "reflect"

// Restored is implemented by those nodes of a decoded tree that couldn't be
// rebuilt as the very value that they were: errors of types that aren't
// registered (those of errors.New and fmt.Errorf among them), and registered
// ones whose copy would have another text or other causes.
type Restored interface {
	error
	// OriginalType is the Go type of the original, as fmt's %T prints it.
	OriginalType() string
}

// restored is a node of a decoded tree. What identifies it is kept as it was
// read, so that an error that is recorded again, by another executor, loses
// nothing that this one doesn't know.
type restored struct {
	text, typeName    string
	kind              errorKind
	name, codec, data string
	isNil             bool
	traits            byte
	matches           []string
	children          []error // what Unwrap returns
	held              []error // what only fields hold
	causes            []recordedCause
	used              []bool // by causes, in their numbers
	as                []error

	sentinel error   // rebuilt
	value    error   // rebuilt, of a registered type
	matched  []error // the known ones of matches
}

type recordedCause struct {
	number int // in children and then held
	field  string
}

// isUsed tells whether a cause has the number already, and notes that one has.
func (n *restored) isUsed(number int) bool {
	if missing := number + 1 - len(n.used); missing > 0 {
		n.used = append(n.used, make([]bool, missing)...)
	}
	was := n.used[number]
	n.used[number] = true
	return was
}

func (n *restored) inFields() (list []fieldError) {
	for _, c := range n.causes {
		if cause := n.numbered(c.number); cause != nil {
			list = append(list, fieldError{c.field, cause})
		}
	}
	return list
}

func (n *restored) numbered(i int) error {
	if i < len(n.children) {
		return n.children[i]
	}
	if i -= len(n.children); i < len(n.held) {
		return n.held[i]
	}
	return nil
}

// live is what the node stands for in this process, nil where that isn't known.
func (n *restored) live() error {
	if n.sentinel != nil {
		return n.sentinel
	}
	return n.value
}

// rebuild returns the error that n describes: the value itself where it has the
// recorded text and causes, else a node that has them and finds the value.
func (r *Errors) rebuild(n *restored) error {
	if len(n.matches) > 0 {
		for _, name := range n.matches {
			if sentinel, ok := r.sentinels[name]; ok {
				n.matched = append(n.matched, sentinel)
			}
		}
	}
	switch n.kind {
	case kindSentinel:
		n.sentinel = r.sentinels[n.name]
	case kindTyped:
		if t, ok := r.types[n.name]; ok {
			if value, err := t.safeDecode(n); err == nil {
				n.value = value
			}
		}
	}
	if live := n.live(); live != nil && same(live, n) {
		return live
	}
	return n.asError()
}

// same tells whether live, and everything that errors.Is and errors.As find in
// it, is what n describes.
func same(live error, n *restored) bool {
	text, ok := errorText(live)
	if !ok || text != n.text {
		return false
	}
	children, joined := unwrap(live)
	if len(children) != len(n.children) || joined != (n.traits&traitJoined != 0) {
		return false
	}
	for i, child := range children {
		if identical(child, n.children[i]) {
			continue
		}
		// An unregistered error in a sentinel: this process has the error itself.
		was := restoredBehind(n.children[i])
		if was == nil || was.live() != nil || len(was.matches) > 0 ||
			reflect.TypeOf(child).String() != was.typeName || !same(child, was) {
			return false
		}
	}
	return true
}

func sameText(a, b error) bool {
	if reflect.TypeOf(a) != reflect.TypeOf(b) {
		return false
	}
	textA, _ := errorText(a)
	textB, _ := errorText(b)
	return textA == textB
}

func (n *restored) node() *restored      { return n }
func (n *restored) Error() string        { return n.text }
func (n *restored) OriginalType() string { return n.typeName }

// Is finds what the node stands for, and the sentinels for which the original's
// own Is method answered true.
func (n *restored) Is(target error) bool {
	if live := n.live(); live != nil {
		if identical(live, target) {
			return true
		}
		if method, ok := live.(interface{ Is(error) bool }); ok && safeIs(method, target) {
			return true
		}
	}
	for _, sentinel := range n.matched {
		if identical(sentinel, target) {
			return true
		}
	}
	return false
}

// As finds the value that the node stands for, and those that the original's own
// As method gave.
func (n *restored) As(target any) bool {
	if live := n.live(); live != nil && setAs(live, target) {
		return true
	}
	for _, value := range n.as {
		if was := restoredBehind(value); was != nil {
			if value = was.live(); value == nil {
				continue
			}
		}
		if setAs(value, target) {
			return true
		}
	}
	return false
}

func setAs(err error, target any) bool {
	if at := reflect.ValueOf(target).Elem(); reflect.TypeOf(err).AssignableTo(at.Type()) {
		at.Set(reflect.ValueOf(err))
		return true
	}
	method, ok := err.(interface{ As(any) bool })
	return ok && safeAs(method, target)
}

// restoredError is implemented by the types below.
type restoredError interface{ node() *restored }

func restoredBehind(err error) *restored {
	if x, ok := err.(restoredError); ok {
		return x.node()
	}
	return nil
}

// Code finds out by type assertions whether an error has a cause or several, and
// whether it can tell a timeout: a node has exactly the methods that the original
// had. *restored itself would have too few, and is never given to users.
type (
	one     struct{ *restored }
	several struct{ *restored }

	oneTimeout       struct{ one }
	oneTemporary     struct{ one }
	oneNet           struct{ one }
	severalTimeout   struct{ several }
	severalTemporary struct{ several }
	severalNet       struct{ several }
)

func (n one) Unwrap() error {
	if len(n.children) == 0 {
		return nil
	}
	return n.children[0]
}

func (n several) Unwrap() []error { return n.children }

func (n *restored) isTimeout() bool   { return n.traits&traitTimeout != 0 }
func (n *restored) isTemporary() bool { return n.traits&traitTemporary != 0 }

func (n oneTimeout) Timeout() bool         { return n.isTimeout() }
func (n oneTemporary) Temporary() bool     { return n.isTemporary() }
func (n oneNet) Timeout() bool             { return n.isTimeout() }
func (n oneNet) Temporary() bool           { return n.isTemporary() }
func (n severalTimeout) Timeout() bool     { return n.isTimeout() }
func (n severalTemporary) Temporary() bool { return n.isTemporary() }
func (n severalNet) Timeout() bool         { return n.isTimeout() }
func (n severalNet) Temporary() bool       { return n.isTemporary() }

func (n *restored) asError() error {
	// A foreign record may say that one cause is all there is, and have more.
	if n.traits&traitJoined != 0 || len(n.children) > 1 {
		s := several{n}
		switch n.traits & (traitHasTimeout | traitHasTemporary) {
		case traitHasTimeout:
			return severalTimeout{s}
		case traitHasTemporary:
			return severalTemporary{s}
		case traitHasTimeout | traitHasTemporary:
			return severalNet{s}
		}
		return s
	}
	o := one{n}
	switch n.traits & (traitHasTimeout | traitHasTemporary) {
	case traitHasTimeout:
		return oneTimeout{o}
	case traitHasTemporary:
		return oneTemporary{o}
	case traitHasTimeout | traitHasTemporary:
		return oneNet{o}
	}
	return o
}
