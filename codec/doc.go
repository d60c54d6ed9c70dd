// Package codec turns the values of actions into bytes and back: [Codec], the
// codecs of the standard library ([JSON], [Gob], [Raw]), and [Transform], which
// changes the bytes afterwards (compression, encryption).
//
// The name of the codec and the names of the transforms travel in every record,
// so that an operation that changes its codec still reads what it wrote before,
// and never takes one format for another.
//
// # What gets lost
//
// The first caller gets the value that its action returned; everybody else gets
// a decoded copy. The copy is only as good as the codec: JSON turns the integers
// in an `any` into float64, drops unexported fields and the monotonic part of a
// time.Time, and tells an empty slice from a nil one but not an absent field
// from a zero one; Gob drops zero fields, so that a pointer to a zero value comes
// back nil; Raw doesn't tell nil from empty.
package codec
