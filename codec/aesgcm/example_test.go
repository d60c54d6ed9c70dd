package aesgcm_test

import (
	"fmt"

	"github.com/reprise-go/reprise/codec/aesgcm"
)

func Example() {
	keys := map[string][]byte{
		"2025": []byte("32 random bytes of a secret store"[:32]), // still opens what it sealed
		"2026": []byte("another 32 bytes of a secret store"[:32]),
	}
	encryption, err := aesgcm.New(aesgcm.Options{Keys: keys, Current: "2026"})
	if err != nil {
		panic(err)
	}
	// idempotency.Options{Transforms: []codec.Transform{encryption}}
	bound := []byte("storage key, operation, fingerprint")
	sealed, err := encryption.Seal(nil, []byte("insufficient funds"), bound)
	if err != nil {
		panic(err)
	}
	opened, err := encryption.Open(nil, sealed, bound, 1<<20)
	fmt.Printf("%s %v\n", opened, err)

	_, err = encryption.Open(nil, sealed, []byte("another storage key"), 1<<20)
	fmt.Println(err)
	fmt.Println(encryption)
	// Output:
	// insufficient funds <nil>
	// aesgcm: the answer can't be authenticated
	// aesgcm.Transform{Current: "2026"}
}
