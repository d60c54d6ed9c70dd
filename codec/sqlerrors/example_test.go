package sqlerrors_test

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/codec"
	"github.com/reprise-go/reprise/codec/sqlerrors"
)

func Example() {
	registry, err := codec.NewErrors(sqlerrors.Set())
	if err != nil {
		panic(err)
	}
	record, err := registry.Append(nil, fmt.Errorf("customer 42: %w", sql.ErrNoRows), 1<<20)
	if err != nil {
		panic(err)
	}

	// In another process, a day later:
	decoded, err := registry.Decode(record)
	if err != nil {
		panic(err)
	}
	fmt.Println(decoded.Err)
	fmt.Println(errors.Is(decoded.Err, sql.ErrNoRows))
	// Output:
	// customer 42: sql: no rows in result set
	// true
}
