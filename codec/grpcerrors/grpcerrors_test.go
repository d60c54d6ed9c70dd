package grpcerrors_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/grpcerrors"
)

func replay(t *testing.T, err error) error {
	t.Helper()
	registry, setErr := codec.NewErrors(grpcerrors.Set())
	if setErr != nil {
		t.Fatal(setErr)
	}
	record, appendErr := registry.Append(nil, err, 1<<20)
	if appendErr != nil {
		t.Fatal(appendErr)
	}
	decoded, decodeErr := registry.Decode(record)
	if decodeErr != nil {
		t.Fatal(decodeErr)
	}
	return decoded.Err
}

func TestStatusComesBack(t *testing.T) {
	detailed, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(durationpb.New(5), wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	plain := status.Error(codes.FailedPrecondition, "no such card")
	for _, err := range []error{
		plain, detailed.Err(), fmt.Errorf("charge: %w", plain), errors.Join(io.EOF, fmt.Errorf("charge: %w", detailed.Err())),
		status.Error(codes.Code(99), "a code of the future"), status.Errorf(codes.Internal, "wraps: %v", io.EOF),
	} {
		got := replay(t, err)
		if got.Error() != err.Error() || status.Code(got) != status.Code(err) || errors.Is(got, io.EOF) != errors.Is(err, io.EOF) {
			t.Errorf("%v became %v", err, got)
		}
		want, wantOK := status.FromError(err)
		is, ok := status.FromError(got)
		if ok != wantOK || !proto.Equal(is.Proto(), want.Proto()) {
			t.Errorf("%v has the status %v, want %v", err, is, want)
		}
	}
	if got := replay(t, fmt.Errorf("x: %w", plain)); !errors.Is(got, plain) {
		t.Error("errors.Is doesn't find the same status")
	}
}

func TestBrokenStatusKeepsItsText(t *testing.T) {
	registry, err := codec.NewErrors(codec.ErrorSet{Sentinels: map[string]error{"grpc.Status": io.ErrNoProgress}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := registry.Append(nil, io.ErrNoProgress, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := codec.NewErrors(grpcerrors.Set())
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := reader.Decode(record)
	if err != nil || decoded.Err.Error() != io.ErrNoProgress.Error() || status.Code(decoded.Err) != codes.Unknown {
		t.Errorf("%+v, %v", decoded, err)
	}
}
