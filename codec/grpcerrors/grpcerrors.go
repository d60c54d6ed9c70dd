package grpcerrors

import (
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/codec"
)

// Set returns the type of the errors that grpc's package status makes, under the
// name "grpc.Status".
func Set() codec.ErrorSet {
	return codec.ErrorSet{Types: []codec.ErrorType{
		codec.ErrorTypeOf("grpc.Status", codec.ErrorTypeOptions[error]{
			Like:   grpcstatus.Error(codes.Unknown, "the type can't be named"),
			Encode: encode,
			Decode: decode,
		}),
	}}
}

func encode(err error) ([]byte, error) {
	s, ok := err.(interface{ GRPCStatus() *grpcstatus.Status })
	if !ok {
		return nil, fmt.Errorf("%T has no status", err)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(s.GRPCStatus().Proto())
}

func decode(data []byte, _ []error) (error, error) {
	s := &status.Status{}
	if err := proto.Unmarshal(data, s); err != nil {
		return nil, err
	}
	if s.Code == int32(codes.OK) {
		return nil, errors.New("a status that is no error")
	}
	return grpcstatus.FromProto(s).Err(), nil
}
