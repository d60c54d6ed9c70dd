package msgpack_test

import (
	"fmt"
	"reflect"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/msgpack"
)

func Example() {
	type Receipt struct {
		ID     string `msgpack:"id"`
		Amount int64  `msgpack:"amount"`
	}
	// idempotency.OperationOptions[Receipt]{Codec: msgpack.Codec}
	data, err := msgpack.Codec.Append(nil, Receipt{ID: "ch_1", Amount: 4200})
	fmt.Printf("%q %v\n", data, err)

	var receipt Receipt
	err = msgpack.Codec.Decode(data, &receipt)
	fmt.Printf("%+v %v\n", receipt, err)

	fmt.Println(msgpack.Codec.(codec.Checker).Check(reflect.TypeFor[struct{ Done chan bool }]()))
	// Output:
	// "\x82\xa2id\xa4ch_1\xa6amount\xcd\x10h" <nil>
	// {ID:ch_1 Amount:4200} <nil>
	// type chan bool at .Done: MessagePack has no form for it
}
