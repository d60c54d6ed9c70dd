package codec_test

import (
	"errors"
	"fmt"
	"io"
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

var ErrDeclined = errors.New("card declined")

type CardError struct {
	Code string
	Err  error // recorded as an error is, and put back
}

func (e *CardError) Error() string { return e.Code + ": " + e.Err.Error() }
func (e *CardError) Unwrap() error { return e.Err }

// Errors come back as what they were in a process that registers the same names.
func ExampleErrors() {
	registry, err := codec.NewErrors(codec.ErrorSet{
		Sentinels: map[string]error{"billing.ErrDeclined": ErrDeclined},
		Types:     []codec.ErrorType{codec.ErrorTypeOf("billing.CardError", codec.ErrorTypeOptions[*CardError]{})},
	})
	if err != nil {
		panic(err)
	}
	original := fmt.Errorf("charge: %w", &CardError{Code: "expired", Err: ErrDeclined})
	record, err := registry.Append(nil, original, 1<<20)
	if err != nil {
		panic(err)
	}

	// In another process, a day later:
	decoded, err := registry.Decode(record)
	if err != nil {
		panic(err)
	}
	var card *CardError
	fmt.Println(decoded.Err)
	fmt.Println(errors.Is(decoded.Err, ErrDeclined))
	fmt.Println(errors.As(decoded.Err, &card), card.Code)
	// Output:
	// charge: expired: card declined
	// true
	// true expired
}

// Restore gives a type the cause back that lies in an unexported field.
func ExampleErrorTypeOf() {
	t := codec.ErrorTypeOf("billing.LimitError", codec.ErrorTypeOptions[*LimitError]{
		Restore: func(e *LimitError, causes []error) (*LimitError, error) {
			if len(causes) > 0 {
				e.cause = causes[0]
			}
			return e, nil
		},
	})
	registry, err := codec.NewErrors(codec.ErrorSet{Types: []codec.ErrorType{t}})
	if err != nil {
		panic(err)
	}
	record, err := registry.Append(nil, &LimitError{Limit: 50, cause: io.ErrShortBuffer}, 1<<20)
	if err != nil {
		panic(err)
	}
	decoded, err := registry.Decode(record)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%T: %v\n", decoded.Err, decoded.Err)
	// Output: *codec_test.LimitError: limit 50: short buffer
}

type LimitError struct {
	Limit int
	cause error
}

func (e *LimitError) Error() string { return fmt.Sprintf("limit %d: %v", e.Limit, e.cause) }
func (e *LimitError) Unwrap() error { return e.cause }
