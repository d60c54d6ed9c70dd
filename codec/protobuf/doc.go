// Package protobuf is the Protocol Buffers codec, by google.golang.org/protobuf:
// for actions whose value is a generated message.
//
// # What gets lost
//
//   - A nil message comes back as an empty one: the wire format has no nil. A nil
//     message in a field stays nil.
//   - An empty list, map or bytes field without presence comes back nil, and a
//     scalar of proto3 without presence can't tell zero from absent.
//
// Everything else of a message is kept, unknown fields and missing required
// fields included. The descriptor doesn't travel: a record that was written with
// another message type decodes into nonsense without an error where the field
// numbers happen to fit, so give operations names.
package protobuf
