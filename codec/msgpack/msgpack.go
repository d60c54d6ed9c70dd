package msgpack

import (
	"bytes"
	"fmt"
	"reflect"

	lib "github.com/vmihailenco/msgpack/v5"

	"github.com/reprise-go/reprise/codec"
)

// Codec encodes values as MessagePack. Its name in records is "msgpack".
//
// Its Check refuses what can't be decoded again: channels, functions, complex
// numbers, uintptr, and interfaces with methods (error among them, of which only
// the text would be left). Append refuses values nested deeper than [MaxDepth].
// Decode takes exactly one value; before it allocates anything it has made sure
// that every element that a length announces is there, so that its memory is at
// most the elements in data times the size of their Go types.
var Codec codec.Codec = msgpackCodec{}

type msgpackCodec struct{}

func (msgpackCodec) Name() string { return "msgpack" }

func (msgpackCodec) Append(dst []byte, value any) (data []byte, err error) {
	defer recovered(&err)
	buffer := bytes.NewBuffer(dst)
	encoder := lib.GetEncoder()
	encoder.Reset(buffer)
	encoder.UseCompactInts(true)
	encoder.SetSortMapKeys(true)
	if err := encoder.Encode(addressable(value)); err != nil {
		return dst, err
	}
	lib.PutEncoder(encoder) // not after a panic
	data = buffer.Bytes()
	if _, err := check(data[len(dst):]); err != nil {
		return dst, err
	}
	return data, nil
}

// addressable returns value so that the methods of pointers to its fields can be
// called.
func addressable(value any) any {
	v := reflect.ValueOf(value)
	if kind := v.Kind(); kind != reflect.Struct && kind != reflect.Array {
		return value
	}
	pointer := reflect.New(v.Type())
	pointer.Elem().Set(v)
	return pointer.Interface()
}

func (msgpackCodec) Decode(data []byte, into any) (err error) {
	defer recovered(&err)
	ambiguous, err := check(data)
	if err != nil {
		return err
	}
	if len(ambiguous) > 0 {
		data = unambiguous(data, ambiguous)
	}
	decoder := lib.GetDecoder()
	decoder.Reset(bytes.NewReader(data))
	decoder.UseLooseInterfaceDecoding(true)
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if decoder.Buffered().(*bytes.Reader).Len() > 0 {
		return errTrailing // the type has read less than it wrote
	}
	lib.PutDecoder(decoder)
	return nil
}

// recovered turns panics of the library and of types that encode themselves into
// errors.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("msgpack: %v", v)
	}
}

// Check implements [codec.Checker].
func (c msgpackCodec) Check(t reflect.Type) error {
	if err := checkType(place{t, true}, "", map[place]bool{}); err != nil {
		return err
	}
	data, err := c.Append(nil, reflect.Zero(t).Interface())
	if err == nil {
		err = c.Decode(data, reflect.New(t).Interface())
	}
	if err != nil {
		return fmt.Errorf("type %v: its zero value can't be encoded and decoded: %w", t, err)
	}
	return nil
}
