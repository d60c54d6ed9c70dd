package protobuf_test

import (
	"fmt"
	"reflect"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/protobuf"
)

func Example() {
	// idempotency.OperationOptions[*wrapperspb.StringValue]{Codec: protobuf.Codec}
	data, err := protobuf.Codec.Append(nil, wrapperspb.String("ch_1"))
	fmt.Printf("%q %v\n", data, err)

	var receipt *wrapperspb.StringValue
	err = protobuf.Codec.Decode(data, &receipt)
	fmt.Println(receipt.GetValue(), err)

	fmt.Println(protobuf.Codec.(codec.Checker).Check(reflect.TypeFor[string]()))
	// Output:
	// "\n\x04ch_1" <nil>
	// ch_1 <nil>
	// type string: protobuf takes pointers to generated messages only
}
