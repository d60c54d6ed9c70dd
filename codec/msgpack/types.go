package msgpack

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"time"

	lib "github.com/vmihailenco/msgpack/v5"
)

// pairs are the methods with which a type encodes itself, in the library's order.
var pairs = [][2]reflect.Type{
	{reflect.TypeFor[lib.CustomEncoder](), reflect.TypeFor[lib.CustomDecoder]()},
	{reflect.TypeFor[lib.Marshaler](), reflect.TypeFor[lib.Unmarshaler]()},
	{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
	{reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
}

// place is a type, and whether its values are addressable: those in maps aren't,
// and methods of the pointer can't be called for them.
type place struct {
	reflect.Type
	addressable bool
}

// checkType walks the type as the library would. path names the place for the
// message; seen breaks cycles of recursive types.
func checkType(t place, path string, seen map[place]bool) error {
	if seen[t] || t.Type == reflect.TypeFor[time.Time]() {
		return nil
	}
	seen[t] = true
	in := func(inner reflect.Type, addressable bool) place { return place{inner, addressable} }
	if t.Kind() != reflect.Interface {
		pointer := reflect.PointerTo(t.Type)
		for _, pair := range pairs {
			if pointer.Implements(pair[0]) && pointer.Implements(pair[1]) {
				if !t.addressable && !t.Implements(pair[0]) {
					return refused(t.Type, path, "in a map it can't be encoded; use a map of pointers")
				}
				return nil
			}
			if pointer.Implements(pair[0]) || pointer.Implements(pair[1]) {
				return refused(t.Type, path, fmt.Sprintf("it has only one of %v and %v", pair[0], pair[1]))
			}
		}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.Uintptr, reflect.UnsafePointer:
		return refused(t.Type, path, "MessagePack has no form for it")
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return refused(t.Type, path, "an interface with methods can't be decoded")
		}
	case reflect.Pointer, reflect.Slice:
		return checkType(in(t.Elem(), true), path, seen)
	case reflect.Array:
		return checkType(in(t.Elem(), t.addressable), path, seen)
	case reflect.Map:
		if err := checkType(in(t.Key(), false), path+"[key]", seen); err != nil {
			return err
		}
		return checkType(in(t.Elem(), false), path+"[]", seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("msgpack"), ","); name == "-" || !field.IsExported() && !field.Anonymous {
				continue
			}
			if field.Anonymous && embeds(field.Type, t.Type, 0) {
				return refused(t.Type, path+"."+field.Name, "it embeds itself")
			}
			if field.Anonymous && !field.IsExported() && field.Type.Kind() != reflect.Struct {
				if field.Type.Kind() != reflect.Pointer {
					continue
				}
				return refused(field.Type, path+"."+field.Name, "an embedded pointer to an unexported type can't be decoded")
			}
			if err := checkType(in(field.Type, t.addressable), path+"."+field.Name, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

// embeds tells whether a value of type t, embedded, leads back to outer: the
// library would look for its fields for ever.
func embeds(t, outer reflect.Type, depth int) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == outer {
		return true
	}
	if t.Kind() != reflect.Struct || depth > 20 {
		return depth > 20
	}
	for field := range t.Fields() {
		if field.Anonymous && embeds(field.Type, outer, depth+1) {
			return true
		}
	}
	return false
}

func refused(t reflect.Type, path, why string) error {
	if path == "" {
		return fmt.Errorf("type %v: %s", t, why)
	}
	return fmt.Errorf("type %v at %s: %s", t, path, why)
}
