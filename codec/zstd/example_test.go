package zstd_test

import (
	"fmt"
	"strings"

	"github.com/reprise-go/reprise/codec/zstd"
)

func Example() {
	compression, err := zstd.New(zstd.Options{})
	if err != nil {
		panic(err)
	}
	// idempotency.Options{Transforms: []codec.Transform{compression}}
	answer := []byte(strings.Repeat("a line of a receipt\n", 500))
	sealed, err := compression.Seal(nil, answer, nil)
	fmt.Println(len(answer), len(sealed) < 100, err)

	opened, err := compression.Open(nil, sealed, nil, 1<<20)
	fmt.Println(string(opened) == string(answer), err)

	_, err = compression.Open(nil, sealed, nil, 1000)
	fmt.Println(err)
	// Output:
	// 10000 true <nil>
	// true <nil>
	// zstd: the plain bytes are more than the limit
}
