// Package msgpack is the MessagePack codec, by github.com/vmihailenco/msgpack/v5:
// smaller and quicker than JSON, and without a schema.
//
// # What gets lost
//
//   - Integers in an `any` come back as int64, or as uint64 where they were
//     unsigned; floats as float64; []byte in an `any` as a string; a map in an
//     `any` as a map[string]any, and a slice as []any.
//   - A time.Time keeps its nanoseconds, but not its location (it is local time
//     after decoding) and not its monotonic part.
//   - Unexported fields. Fields whose tag says omitempty come back zero.
//   - Types that have MarshalBinary or MarshalText keep what those keep.
//
// Nil and empty slices and maps stay apart, and so do nil pointers and zero
// values. The field's name is its Go name unless the tag `msgpack:"name"` says
// otherwise; tags of encoding/json are not read.
//
// Extension types other than the timestamp (msgpack.RegisterExt) are refused, in
// both directions: they are registered for the whole program, and the library
// reads some of them as something else than they are.
package msgpack
