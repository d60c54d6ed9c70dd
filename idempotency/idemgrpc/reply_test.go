package idemgrpc_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/reprise-go/reprise/idempotency/idemgrpc"
)

func TestCodec(t *testing.T) {
	message := named("x")
	message.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 0x01}) // a field of a newer version
	for _, reply := range []*idemgrpc.Reply{
		{},
		{Message: message},
		{Message: &testgrpc.Empty{}, Header: metadata.Pairs("a", "1", "a", "2", "b-bin", "\x00"), Trailer: metadata.Pairs("c", "")},
		{Status: status.New(codes.NotFound, "no")},
	} {
		data, err := idemgrpc.Codec.Append([]byte("before"), reply)
		if err != nil {
			t.Fatal(err)
		}
		var got *idemgrpc.Reply
		if err := idemgrpc.Codec.Decode(data[6:], &got); err != nil {
			t.Fatal(err)
		}
		again, err := idemgrpc.Codec.Append([]byte("before"), got)
		if err != nil || string(again) != string(data) || got.Status.Code() != reply.Status.Code() || (got.Message == nil) != (reply.Message == nil) {
			t.Errorf("%+v became %+v, %v", reply, got, err)
		}
		if reply.Message != nil && !proto.Equal(got.Message.(proto.Message), reply.Message.(proto.Message)) {
			t.Errorf("%v became %v", reply.Message, got.Message)
		}
	}
	for _, value := range []any{nil, (*idemgrpc.Reply)(nil), 1, &idemgrpc.Reply{Message: "no message"}} {
		if _, err := idemgrpc.Codec.Append(nil, value); err == nil {
			t.Errorf("%T was encoded", value)
		}
	}
}

// A process that doesn't know the type sends the same bytes.
func TestUnknownType(t *testing.T) {
	data, err := idemgrpc.Codec.Append(nil, &idemgrpc.Reply{Message: named("hello")})
	if err != nil {
		t.Fatal(err)
	}
	renamed := []byte(string(data[:2]) + "x" + string(data[3:])) // xrpc.testing.SimpleResponse
	var got *idemgrpc.Reply
	if err := idemgrpc.Codec.Decode(renamed, &got); err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Message.(*emptypb.Empty); !ok {
		t.Errorf("decoded a %T", got.Message)
	}
	want, _ := proto.Marshal(named("hello"))
	if wire, err := proto.Marshal(got.Message.(proto.Message)); err != nil || string(wire) != string(want) {
		t.Errorf("%q on the wire, want %q (%v)", wire, want, err)
	}
}

func FuzzDecode(f *testing.F) {
	data, _ := idemgrpc.Codec.Append(nil, &idemgrpc.Reply{
		Message: named("x"), Status: status.New(codes.NotFound, "no"), Header: metadata.Pairs("a", "1"), Trailer: metadata.Pairs("b", "2"),
	})
	f.Add(data)
	f.Add([]byte{0x0a, 0x01, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var got *idemgrpc.Reply
		if idemgrpc.Codec.Decode(data, &got) != nil {
			return
		}
		if _, err := idemgrpc.Codec.Append(nil, got); err != nil {
			t.Errorf("decoded, but can't be encoded again: %v", err)
		}
	})
}
