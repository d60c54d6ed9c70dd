package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"io"
	"reflect"
)

// Gob is encoding/gob, for types that JSON loses too much of.
//
// Choose it only where nobody else can write to the store: encoding/gob says of
// itself that it "is not designed to be hardened against adversarial inputs" and
// that decoding "may consume significant resources". Every answer carries its
// type description, so small ones are larger than in JSON. Fields of channel and
// function type are left out silently, and a nil pointer can't be encoded.
var Gob Codec = gobCodec{}

type gobCodec struct{}

func (gobCodec) Name() string { return "gob" }

func (gobCodec) Append(dst []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(dst)
	if err := gob.NewEncoder(buffer).Encode(value); err != nil {
		return dst, err
	}
	return buffer.Bytes(), nil
}

func (gobCodec) Decode(data []byte, into any) (err error) {
	defer recovered(&err)
	return gob.NewDecoder(bytes.NewReader(data)).Decode(into)
}

// Check encodes a zero value: gob tells what it can't do only by trying.
func (gobCodec) Check(t reflect.Type) (err error) {
	defer recovered(&err)
	t = indirect(t)
	if t.Kind() == reflect.Interface {
		return refused(t, "", "gob needs a concrete type")
	}
	return gob.NewEncoder(io.Discard).EncodeValue(reflect.New(t).Elem())
}

func recovered(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("gob: %v", v)
	}
}
