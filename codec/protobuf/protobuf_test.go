package protobuf_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/protobuf"
)

func same[T proto.Message](t *testing.T, in T) {
	t.Helper()
	data, err := protobuf.Codec.Append([]byte("before"), in)
	if err != nil {
		t.Fatalf("Append(%v): %v", in, err)
	}
	if string(data[:6]) != "before" {
		t.Fatal("Append overwrote dst")
	}
	var out T
	if err := protobuf.Codec.Decode(data[6:], &out); err != nil {
		t.Fatalf("Decode(%v): %v", in, err)
	}
	for i := range data {
		data[i] = 0xaa // Decode must have copied
	}
	if !proto.Equal(in, out) {
		t.Errorf("%v became %v", in, out)
	}
}

func structure(t testing.TB) *structpb.Struct {
	s, err := structpb.NewStruct(map[string]any{"a": 1, "b": []any{"x", nil, true}, "c": map[string]any{"d": 2.5}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRoundTrips(t *testing.T) {
	same(t, structure(t))
	same(t, wrapperspb.Bytes([]byte{0, 1, 255}))
	same(t, wrapperspb.Bytes(bytes.Repeat([]byte("x"), 1<<20)))
	same(t, &timestamppb.Timestamp{Seconds: -1, Nanos: 5})
	same(t, &emptypb.Empty{})
	same(t, &descriptorpb.FileDescriptorProto{Name: proto.String(""), MessageType: []*descriptorpb.DescriptorProto{{}}})
	// A required field that is missing, and a field that the type doesn't know.
	same(t, &descriptorpb.UninterpretedOption{Name: []*descriptorpb.UninterpretedOption_NamePart{{NamePart: proto.String("x")}}})
	unknown := &emptypb.Empty{}
	if err := proto.Unmarshal([]byte{0x08, 0x05}, unknown); err != nil {
		t.Fatal(err)
	}
	same(t, unknown)
}

func TestBytesAreDeterministic(t *testing.T) {
	first, err := protobuf.Codec.Append(nil, structure(t))
	for range 20 {
		if again, againErr := protobuf.Codec.Append(nil, structure(t)); err != nil || againErr != nil || !bytes.Equal(first, again) {
			t.Fatalf("%x, %x", first, again)
		}
	}
}

func TestNilComesBackEmpty(t *testing.T) {
	data, err := protobuf.Codec.Append(nil, (*durationpb.Duration)(nil))
	if err != nil || len(data) != 0 {
		t.Fatalf("%x, %v", data, err)
	}
	var out *durationpb.Duration
	if err := protobuf.Codec.Decode(data, &out); err != nil || out == nil {
		t.Errorf("%v, %v", out, err)
	}
}

func TestADecodedMessageReplacesTheOld(t *testing.T) {
	old := wrapperspb.String("old")
	out := old
	if err := protobuf.Codec.Decode(nil, &out); err != nil || out.Value != "" || old.Value != "old" {
		t.Errorf("%v, %v, %v", out, old, err)
	}
	if err := protobuf.Codec.Decode([]byte{0xff}, &out); err == nil {
		t.Error("broken data was taken")
	}
}

func TestCheck(t *testing.T) {
	checker := protobuf.Codec.(codec.Checker)
	for _, typ := range []reflect.Type{reflect.TypeFor[*structpb.Struct](), reflect.TypeFor[*emptypb.Empty](), reflect.TypeFor[*descriptorpb.FieldOptions]()} {
		if err := checker.Check(typ); err != nil {
			t.Errorf("refuses %v: %v", typ, err)
		}
	}
	for typ, want := range map[reflect.Type]string{
		reflect.TypeFor[structpb.Struct]():            "*structpb.Struct",
		reflect.TypeFor[**structpb.Struct]():          "generated messages only",
		reflect.TypeFor[proto.Message]():              "generated messages only",
		reflect.TypeFor[string]():                     "generated messages only",
		reflect.TypeFor[[]*structpb.Struct]():         "generated messages only",
		reflect.TypeFor[*dynamicpb.Message]():         "descriptor",
		reflect.TypeFor[struct{ A *emptypb.Empty }](): "generated messages only",
	} {
		if err := checker.Check(typ); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want one that has %q", typ, err, want)
		}
	}
}

func TestOtherValuesAreErrors(t *testing.T) {
	for _, value := range []any{nil, 5, "s", []byte{1}} {
		if _, err := protobuf.Codec.Append(nil, value); err == nil {
			t.Errorf("%v was encoded", value)
		}
	}
	var message proto.Message
	for _, into := range []any{nil, 5, new(int), &message, (**emptypb.Empty)(nil), &emptypb.Empty{}} {
		if err := protobuf.Codec.Decode(nil, into); err == nil {
			t.Errorf("decoded into %T", into)
		}
	}
}

func TestTooDeep(t *testing.T) {
	// A list in a value in a list: each layer is two bytes of tags and two lengths.
	var data []byte
	for range 12_000 {
		data = append(binary.AppendUvarint([]byte{0x32}, uint64(len(data))), data...) // Value.list_value
		data = append(binary.AppendUvarint([]byte{0x0a}, uint64(len(data))), data...) // ListValue.values
	}
	var list *structpb.ListValue
	if err := protobuf.Codec.Decode(data, &list); err == nil {
		t.Error("24,000 layers were taken")
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range []proto.Message{structure(f), wrapperspb.Bytes([]byte("x")), &descriptorpb.FileDescriptorProto{Name: proto.String("n"), MessageType: []*descriptorpb.DescriptorProto{{}}}} {
		data, err := protobuf.Codec.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var s *structpb.Struct
		var file *descriptorpb.FileDescriptorProto
		var b *wrapperspb.BytesValue
		if protobuf.Codec.Decode(data, &s) == nil {
			if _, err := protobuf.Codec.Append(nil, s); err != nil {
				t.Fatalf("%x can't be encoded again: %v", data, err)
			}
		}
		protobuf.Codec.Decode(data, &file)
		protobuf.Codec.Decode(data, &b)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20+uint64(len(data))*4096 {
			t.Fatalf("%d bytes made it allocate %d", len(data), grown)
		}
	})
}
