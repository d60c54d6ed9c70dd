package grpcerrors_test

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/grpcerrors"
)

func Example() {
	registry, err := codec.NewErrors(grpcerrors.Set())
	if err != nil {
		panic(err)
	}
	record, err := registry.Append(nil, status.Error(codes.FailedPrecondition, "card expired"), 1<<20)
	if err != nil {
		panic(err)
	}

	// In another process, a day later:
	decoded, err := registry.Decode(record)
	if err != nil {
		panic(err)
	}
	fmt.Println(status.Code(decoded.Err), status.Convert(decoded.Err).Message())
	// Output: FailedPrecondition card expired
}
