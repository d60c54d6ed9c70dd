package codec

import (
	"fmt"
	"reflect"
	"slices"
)

// The methods of errors are the user's code, and run after the action: a panic
// in one must not lose the outcome.

// errorText is err.Error(), and whether it returned.
func errorText(err error) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			text, ok = fmt.Sprint(err), false // fmt says what happened and doesn't panic
		}
	}()
	return err.Error(), true
}

// unwrap returns what errors.Is walks into, without nils, and whether Unwrap
// returns a slice.
func unwrap(err error) (children []error, joined bool) {
	defer func() {
		if recover() != nil {
			children = nil
		}
	}()
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if child := x.Unwrap(); child != nil {
			children = []error{child}
		}
	case interface{ Unwrap() []error }:
		joined = true
		for _, child := range x.Unwrap() {
			if child != nil {
				children = append(children, child)
			}
		}
	}
	return children, joined
}

func safeIs(method interface{ Is(error) bool }, target error) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	return method.Is(target)
}

func safeAs(method interface{ As(any) bool }, target any) (as bool) {
	defer func() {
		if recover() != nil {
			as = false
		}
	}()
	return method.As(target)
}

func safeBool(method func() bool) (is bool) {
	defer func() {
		if recover() != nil {
			is = false
		}
	}()
	return method()
}

func (t *ErrorType) safeEncode(err error) (codec string, data []byte, encodeErr error) {
	defer func() {
		if v := recover(); v != nil {
			encodeErr = fmt.Errorf("panic while encoding %v: %v", t.typ, v)
		}
	}()
	return t.encode(err)
}

func (t *ErrorType) safeDecode(n *restored) (value, decodeErr error) {
	defer func() {
		if v := recover(); v != nil {
			value, decodeErr = nil, fmt.Errorf("panic while decoding %v: %v", t.typ, v)
		}
	}()
	if n.isNil {
		return reflect.Zero(t.typ).Interface().(error), nil
	}
	return t.decode(n.codec, []byte(n.data), slices.Clone(n.children), func(value reflect.Value) {
		for _, c := range n.causes {
			if cause := n.numbered(c.number); cause != nil {
				t.fillCause(value, c.field, cause)
			}
		}
	})
}
