package neterrors_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/neterrors"
)

func Example() {
	registry, err := codec.NewErrors(neterrors.Set())
	if err != nil {
		panic(err)
	}
	original := &url.Error{Op: "Post", URL: "https://provider.example/charges", Err: os.ErrDeadlineExceeded}
	record, err := registry.Append(nil, fmt.Errorf("charge: %w", original), 1<<20)
	if err != nil {
		panic(err)
	}

	// In another process, a day later:
	decoded, err := registry.Decode(record)
	if err != nil {
		panic(err)
	}
	var timeout net.Error
	var request *url.Error
	fmt.Println(errors.As(decoded.Err, &timeout) && timeout.Timeout())
	fmt.Println(errors.As(decoded.Err, &request), request.URL)
	// Output:
	// true
	// true https://provider.example/charges
}
