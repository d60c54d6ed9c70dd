// Package codec turns the answers of actions into bytes and back: [Codec] and the
// codecs of the standard library ([JSON], [Gob], [Raw]) for values, [Errors] for
// errors, and [Transform], which changes the bytes of both afterwards
// (compression, encryption). Folders below hold what needs a library:
//
//	msgpack, protobuf                  codecs
//	zstd, aesgcm                       transforms
//	neterrors, sqlerrors, grpcerrors   sets of errors for NewErrors
//
// The name of the codec and the names of the transforms travel in every record,
// so that an operation that changes its codec still reads what it wrote before,
// and never takes one format for another.
//
// # What gets lost of values
//
// The first caller gets the value that its action returned; everybody else gets
// a decoded copy. The copy is only as good as the codec: JSON turns the integers
// in an `any` into float64, drops unexported fields and the monotonic part of a
// time.Time, and tells an empty slice from a nil one but not an absent field
// from a zero one; Gob drops zero fields, so that a pointer to a zero value comes
// back nil; Raw doesn't tell nil from empty. The other codecs' packages say what
// they lose.
//
// # What is kept of errors
//
// An error is recorded as the tree that errors.Is and errors.As walk, in its
// order. Of every error in it the text, the name of the type, and what its
// Timeout and Temporary methods say are kept, and whether it has one cause or
// several. Beyond that the copy knows what is registered, by [NewErrors]:
//
//   - Sentinels are themselves again: errors.Is finds them, and in a tree as it
//     was even == does. Errors whose own Is method claims to be a registered
//     sentinel still do.
//   - Errors of registered types are found by errors.As, with what their codec
//     keeps of them (JSON: the exported fields) and with their causes.
//
// The standard library's are always registered: those of io, context, io/fs, os
// (ErrDeadlineExceeded, ErrProcessDone and others), bufio, bytes, errors and
// strconv that are variables, and the types fs.PathError, os.LinkError,
// os.SyscallError, syscall.Errno, strconv.NumError, time.ParseError,
// base64.CorruptInputError, json.SyntaxError and json.UnmarshalTypeError. A
// syscall.Errno is one again on every system that has an error of the same text.
//
// What gets lost: the unexported fields of types without hooks (the text of the
// error is right all the same, but that of the value that errors.As gives may not
// be: a json.SyntaxError has its Offset only); the Go type in a
// json.UnmarshalTypeError unless it is a predeclared one (the error is then text);
// methods that the registered type hasn't. A name that the reader doesn't know, a
// type that no longer decodes and a record of a newer version are no failure:
// text, type name and causes remain. Trees deeper than 256 or of more than 1,024
// errors are cut.
//
// Nodes that couldn't be rebuilt as the value that they were implement [Restored].
package codec
