package backend_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// A backend begins every verb by checking what it is given.
func ExampleClaimRequest_Check() {
	request := backend.ClaimRequest{Token: backend.Token{1}, Lease: -time.Second, Keep: time.Hour}
	err := request.Check()
	fmt.Println(err)
	fmt.Println(errors.Is(err, backend.ErrInvalid))
	// Output:
	// backend: ClaimRequest.Lease is -1s, want 1ms to 87600h0m0s: invalid request
	// true
}

// logged is a backend around another one: embed it and replace what is needed.
type logged struct{ backend.Backend }

func (l logged) Claim(ctx context.Context, key string, request backend.ClaimRequest) (backend.Record, error) {
	record, err := l.Backend.Claim(ctx, key, request)
	fmt.Println("claim:", record.State, err)
	return record, err
}

func ExampleBackend() {
	var store backend.Backend = logged{nothing{}}
	store.Claim(context.Background(), "key", backend.ClaimRequest{})
	// Output:
	// claim: vacant not applied
}

// nothing is a store that is always down.
type nothing struct{ backend.Backend }

func (nothing) Claim(context.Context, string, backend.ClaimRequest) (backend.Record, error) {
	return backend.Record{}, backend.ErrNotApplied
}
