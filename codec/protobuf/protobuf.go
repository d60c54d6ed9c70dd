package protobuf

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/codec"
)

// Codec encodes messages in the Protocol Buffers wire format. Its name in records
// is "protobuf".
//
// The type of the value is a pointer to a generated message (*pb.Receipt); Check
// refuses every other. Decode takes a pointer to such a pointer and puts a new
// message there. Its memory is a small multiple of len(data), of which the size
// of the message types is part; messages nest at most 10,000 deep.
var Codec codec.Codec = protobufCodec{}

// What the leader got, missing required fields and all, is what everybody gets.
var (
	marshal   = proto.MarshalOptions{Deterministic: true, AllowPartial: true}
	unmarshal = proto.UnmarshalOptions{AllowPartial: true}
)

type protobufCodec struct{}

func (protobufCodec) Name() string { return "protobuf" }

func (protobufCodec) Append(dst []byte, value any) ([]byte, error) {
	message, ok := value.(proto.Message)
	if !ok {
		return dst, fmt.Errorf("protobuf: %T is no message", value)
	}
	data, err := marshal.MarshalAppend(dst, message)
	if err != nil {
		return dst, err
	}
	return data, nil
}

func (protobufCodec) Decode(data []byte, into any) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("protobuf: %v", v)
		}
	}()
	pointer := reflect.ValueOf(into)
	if pointer.Kind() != reflect.Pointer || pointer.IsNil() {
		return fmt.Errorf("protobuf: can't decode into %T, want a pointer to a message's pointer", into)
	}
	t := pointer.Type().Elem()
	if !isMessage(t) {
		return fmt.Errorf("protobuf: can't decode into %T, want a pointer to a message's pointer", into)
	}
	message := reflect.New(t.Elem())
	if err := unmarshal.Unmarshal(data, message.Interface().(proto.Message)); err != nil {
		return err
	}
	pointer.Elem().Set(message)
	return nil
}

func isMessage(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct && t.Implements(reflect.TypeFor[proto.Message]())
}

// Check implements [codec.Checker].
func (protobufCodec) Check(t reflect.Type) (err error) {
	if !isMessage(t) {
		if t.Kind() == reflect.Struct && isMessage(reflect.PointerTo(t)) {
			return fmt.Errorf("type %v: protobuf takes the pointer, *%v", t, t)
		}
		return fmt.Errorf("type %v: protobuf takes pointers to generated messages only", t)
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("type %v: a new one has no descriptor, so it can't be decoded", t)
		}
	}()
	message := reflect.New(t.Elem()).Interface().(proto.Message)
	if message.ProtoReflect().Descriptor() == nil {
		return fmt.Errorf("type %v: a new one has no descriptor, so it can't be decoded", t)
	}
	return nil
}
