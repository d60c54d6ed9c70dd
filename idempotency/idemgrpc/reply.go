package idemgrpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/reprise-go/reprise/codec"
)

// Reply is how a handler answered: what is recorded of it, and replayed.
type Reply struct {
	// Status is the status; nil is OK.
	Status *status.Status
	// Message is the response: a Protocol Buffers message; nil beside a Status that
	// isn't OK.
	Message any
	// Header and Trailer are the metadata that the handler set, or what is recorded
	// of it.
	Header, Trailer metadata.MD
}

// Codec encodes a [*Reply], for operations that resolve keys by hand. A message
// is kept as its encoding and its full name, and comes back as that type, or,
// where the process doesn't know it, as a message that has the same encoding.
var Codec codec.Codec = replyCodec{}

type replyCodec struct{}

func (replyCodec) Name() string { return "grpc" }

// The record is a Protocol Buffers message of these fields, so that it may get
// more: status 1 (google.rpc.Status), type 2, message 3, header 4, trailer 5
// (repeated, each a name 1 and a value 2).
const (
	fieldStatus  protowire.Number = 1
	fieldType    protowire.Number = 2
	fieldMessage protowire.Number = 3
	fieldHeader  protowire.Number = 4
	fieldTrailer protowire.Number = 5
	fieldName    protowire.Number = 1
	fieldValue   protowire.Number = 2
)

var deterministic = proto.MarshalOptions{Deterministic: true, AllowPartial: true}

func (replyCodec) Append(dst []byte, value any) ([]byte, error) {
	reply, ok := value.(*Reply)
	if !ok || reply == nil {
		return dst, fmt.Errorf("grpc: %T, want a *Reply", value)
	}
	if reply.Status != nil {
		data, err := deterministic.Marshal(reply.Status.Proto())
		if err != nil {
			return dst, err
		}
		dst = appendField(dst, fieldStatus, data)
	}
	if reply.Message != nil {
		message, err := messageOf(reply.Message)
		if err != nil {
			return dst, err
		}
		data, err := deterministic.Marshal(message)
		if err != nil {
			return dst, err
		}
		dst = appendField(dst, fieldType, []byte(message.ProtoReflect().Descriptor().FullName()))
		dst = appendField(dst, fieldMessage, data)
	}
	dst = appendMetadata(dst, fieldHeader, reply.Header)
	return appendMetadata(dst, fieldTrailer, reply.Trailer), nil
}

func appendField(dst []byte, number protowire.Number, data []byte) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendBytes(dst, data)
}

func appendMetadata(dst []byte, number protowire.Number, md metadata.MD) []byte {
	names := make([]string, 0, len(md))
	for name := range md {
		names = append(names, name)
	}
	slices.Sort(names)
	var pair []byte
	for _, name := range names {
		for _, value := range md[name] {
			pair = appendField(pair[:0], fieldName, []byte(name))
			pair = appendField(pair, fieldValue, []byte(value))
			dst = appendField(dst, number, pair)
		}
	}
	return dst
}

func (replyCodec) Decode(data []byte, into any) error {
	target, ok := into.(**Reply)
	if !ok {
		return fmt.Errorf("grpc: can't decode into %T, want a **Reply", into)
	}
	reply := &Reply{}
	var name string
	var message []byte
	hasMessage := false
	err := eachField(data, func(number protowire.Number, value []byte) error {
		switch number {
		case fieldStatus:
			s := &spb.Status{}
			if err := proto.Unmarshal(value, s); err != nil {
				return err
			}
			reply.Status = status.FromProto(s)
		case fieldType:
			name = string(value)
		case fieldMessage:
			message, hasMessage = value, true
		case fieldHeader:
			return addPair(&reply.Header, value)
		case fieldTrailer:
			return addPair(&reply.Trailer, value)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("grpc: %w", err)
	}
	if hasMessage {
		if reply.Message, err = decodeMessage(name, message); err != nil {
			return fmt.Errorf("grpc: %w", err)
		}
	}
	*target = reply
	return nil
}

func decodeMessage(name string, data []byte) (message proto.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			message, err = nil, fmt.Errorf("%s: %v", name, v)
		}
	}()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if errors.Is(err, protoregistry.NotFound) {
		// On the wire it is the same.
		unknown := &emptypb.Empty{}
		return unknown, proto.Unmarshal(data, unknown)
	}
	if err != nil {
		return nil, err
	}
	message = kind.New().Interface()
	return message, proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(data, message)
}

// eachField goes through fields of bytes, and skips others: those of a newer
// version.
func eachField(data []byte, visit func(protowire.Number, []byte) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return protowire.ParseError(n)
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return protowire.ParseError(n)
		}
		data = data[n:]
		if err := visit(number, value); err != nil {
			return err
		}
	}
	return nil
}

func addPair(md *metadata.MD, data []byte) error {
	var name, text string
	err := eachField(data, func(number protowire.Number, value []byte) error {
		switch number {
		case fieldName:
			name = strings.ToLower(string(value))
		case fieldValue:
			text = string(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !isName(name) {
		return fmt.Errorf("metadata with the name %q", name)
	}
	if *md == nil {
		*md = metadata.MD{}
	}
	(*md)[name] = append((*md)[name], text)
	return nil
}

// messageOf takes what gRPC's own codec takes.
func messageOf(value any) (proto.Message, error) {
	switch m := value.(type) {
	case proto.Message:
		return m, nil
	case protoadapt.MessageV1:
		return protoadapt.MessageV2Of(m), nil
	}
	return nil, fmt.Errorf("%T is no Protocol Buffers message", value)
}
