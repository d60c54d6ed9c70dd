// Package grpcerrors names gRPC's status errors for [codec.NewErrors], so that
// status.FromError and status.Code give the same of a replayed error as of the
// first one: code, message and details.
//
// It is a module of its own, so that Reprise itself doesn't need gRPC.
//
// # What gets lost
//
// Nothing of the status: it is recorded as the google.rpc.Status that it is,
// details included, whether or not the reader knows their types. Types of your
// own that have a GRPCStatus method are not status errors: they keep text and
// type name, unless they are registered.
package grpcerrors
