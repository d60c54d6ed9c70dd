package codec_test

import (
	"fmt"
	"reflect"

	"github.com/reprise-go/reprise/codec"
)

func Example() {
	type Receipt struct {
		ID     string
		Amount int64
	}
	data, err := codec.JSON.Append(nil, Receipt{ID: "ch_1", Amount: 4200})
	fmt.Printf("%s %v\n", data, err)

	var receipt Receipt
	err = codec.JSON.Decode(data, &receipt)
	fmt.Printf("%+v %v\n", receipt, err)

	fmt.Println(codec.JSON.(codec.Checker).Check(reflect.TypeFor[struct{ Done chan bool }]()))
	// Output:
	// {"ID":"ch_1","Amount":4200} <nil>
	// {ID:ch_1 Amount:4200} <nil>
	// type chan bool at .Done: encoding/json has no form for it
}
