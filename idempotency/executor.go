package idempotency

import (
	"sync"

	"github.com/reprise-go/reprise/backend"
)

// Executor runs actions once per key. It is safe for concurrent use, owns
// nothing while no call is in flight, and needs no Close: the store is closed by
// whoever opened it, after the last call has returned.
type Executor struct {
	store      backend.Backend
	options    Options // with every default filled in
	prefix     string  // of storage keys
	flights    flights
	leases     leases
	endings    endings
	background background
	operations sync.Map // reflect.Type -> *Operation[T], for Run and Exec
}

// New makes an executor on a store. It returns an error that names the field for
// a nil store and for options that are out of their bounds.
func New(store backend.Backend, options Options) (*Executor, error) {
	if isNil(store) {
		return nil, optionError("store is nil (%T)", store)
	}
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	x := &Executor{store: store, options: options, prefix: namespacePrefix(options.Namespace)}
	x.flights.init()
	x.leases.x = x
	return x, nil
}
