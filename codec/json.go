package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
)

// JSON is encoding/json, the default. It refuses types that can't be decoded
// again: channels, functions, complex numbers and interfaces with methods,
// wherever they would be encoded.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Append(dst []byte, value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return dst, err
	}
	if len(dst) == 0 && cap(dst) < len(data) {
		return data, nil
	}
	return append(dst, data...), nil
}

func (jsonCodec) Decode(data []byte, into any) error { return json.Unmarshal(data, into) }

func (jsonCodec) Check(t reflect.Type) error {
	return checkJSON(t, "", map[reflect.Type]bool{})
}

var (
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// checkJSON walks the type as encoding/json would. path names the place for the
// message; seen breaks cycles of recursive types.
func checkJSON(t reflect.Type, path string, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if decodesItself(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return refused(t, path, "encoding/json has no form for it")
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return refused(t, path, "an interface with methods can't be decoded")
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return checkJSON(t.Elem(), path, seen)
	case reflect.Map:
		if !isJSONKey(t.Key()) {
			return refused(t, path, "encoding/json has no form for its keys")
		}
		return checkJSON(t.Elem(), path+"[]", seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if field.Tag.Get("json") == "-" || !field.IsExported() && !field.Anonymous {
				continue
			}
			if field.Anonymous && !field.IsExported() && indirect(field.Type).Kind() != reflect.Struct {
				continue
			}
			if err := checkJSON(field.Type, path+"."+field.Name, seen); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodesItself(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return t.Kind() != reflect.Interface &&
		(pointer.Implements(jsonMarshaler) && pointer.Implements(jsonUnmarshaler) ||
			pointer.Implements(textMarshaler) && pointer.Implements(textUnmarshaler))
}

func isJSONKey(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return true
	}
	return t.Implements(textMarshaler) && reflect.PointerTo(t).Implements(textUnmarshaler)
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func refused(t reflect.Type, path, why string) error {
	if path == "" {
		return fmt.Errorf("type %v: %s", t, why)
	}
	return fmt.Errorf("type %v at %s: %s", t, path, why)
}
