package codec

import (
	"fmt"
	"reflect"
)

// Raw keeps bytes as they are: for []byte, string, and types made from them. It
// refuses every other type. An empty answer decodes to an empty slice that isn't
// nil.
var Raw Codec = rawCodec{}

type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Append(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case []byte:
		return append(dst, v...), nil
	case string:
		return append(dst, v...), nil
	}
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		return dst, fmt.Errorf("raw: value is nil, want []byte or string")
	}
	if err := (rawCodec{}).Check(v.Type()); err != nil {
		return dst, err
	}
	if v.Kind() == reflect.String {
		return append(dst, v.String()...), nil
	}
	return append(dst, v.Bytes()...), nil
}

func (rawCodec) Decode(data []byte, into any) error {
	switch p := into.(type) {
	case *[]byte:
		*p = append(make([]byte, 0, len(data)), data...)
		return nil
	case *string:
		*p = string(data)
		return nil
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("raw: can't decode into %T, want a pointer to []byte or string", into)
	}
	v = v.Elem()
	if err := (rawCodec{}).Check(v.Type()); err != nil {
		return err
	}
	if v.Kind() == reflect.String {
		v.SetString(string(data))
	} else {
		v.SetBytes(append(make([]byte, 0, len(data)), data...))
	}
	return nil
}

// Adopt implements [Adopter] for []byte.
func (c rawCodec) Adopt(data []byte, into any) error {
	p, ok := into.(*[]byte)
	if !ok || data == nil {
		return c.Decode(data, into)
	}
	*p = data[:len(data):len(data)]
	return nil
}

func (rawCodec) Check(t reflect.Type) error {
	if t.Kind() == reflect.String || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return nil
	}
	return refused(t, "", "raw takes []byte and string only")
}
