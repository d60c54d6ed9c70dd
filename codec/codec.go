package codec

import "reflect"

// Codec turns values into bytes and back. Its methods are called by many
// goroutines at once.
type Codec interface {
	// Name identifies the format in records. It is 1 to 64 bytes long and never
	// changes; two formats never share one.
	Name() string
	// Append appends the encoded value to dst and returns the extended slice. It
	// must not keep dst.
	Append(dst []byte, value any) ([]byte, error)
	// Decode decodes data into what the pointer into points at. It must copy what
	// it keeps: data is shared by all who get the same answer. Data may come from
	// anybody who can write to the store; it must not make Decode panic.
	Decode(data []byte, into any) error
}

// Adopter is implemented by codecs whose values can lie in the data that they are
// decoded from. A replay that alone gets an answer is spared a copy of it then,
// which for a large one costs as much as the rest of the call.
type Adopter interface {
	// Adopt is Decode, with its errors, of data that nobody else has, nor changes
	// afterwards: what it decodes may keep it. What lies behind data in its array is
	// not the value's: an append to the value must not reach it.
	Adopt(data []byte, into any) error
}

// Checker is implemented by codecs that can tell early that values of a type
// can't be encoded and decoded again. An operation on a refused type is an error
// at its construction, before anything runs.
type Checker interface {
	Check(reflect.Type) error
}

// Transform changes encoded answers, values and errors alike, before they are
// stored. Its methods are called by many goroutines at once.
type Transform interface {
	// Name identifies the transform in records: 1 to 64 bytes, never changed.
	Name() string
	// Seal appends the transformed plain to dst. Associated binds the answer to
	// its storage key, operation and fingerprint: a transform that authenticates
	// must authenticate it too. Seal must keep none of its arguments.
	Seal(dst, plain, associated []byte) ([]byte, error)
	// Open appends what was sealed to dst. It must return an error rather than
	// append more than limit bytes, and when sealed or associated isn't what Seal
	// was given. Open must keep none of its arguments.
	Open(dst, sealed, associated []byte, limit int) ([]byte, error)
}
