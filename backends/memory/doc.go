// Package memory is the backend that keeps its records in the process. It is
// the reference implementation of the contract in package backend, and it is
// for
//
//   - tests, with real time or inside a testing/synctest bubble,
//   - programs that run as a single process and may forget their answers when
//     they end,
//   - the embedded default of a program that can be given a server later.
//
// # What it is not
//
// Nothing is durable: a restart, a crash or a Close forgets every record, and
// then every key runs again. Nothing is shared: two processes, or two stores of
// one process, know nothing of each other. Every guarantee of package backend
// holds within one Backend, from New to Close, without further conditions;
// there is no other server, clock or network that could break it.
//
// # Time
//
// Leases and retentions are counted on the monotonic clock of the process, so
// that setting the wall clock neither ends a lease nor prolongs one. In a
// synctest bubble they follow the bubble's clock. A store belongs to the bubble
// that it was made in and can't be used from another or from outside.
//
// # Bounds
//
// Outcomes may have any size: ErrTooLarge is never returned. Memory is the only
// bound. A record takes about 240 bytes, in which a key, a fingerprint and
// metadata of 88 bytes together have room, and the bytes of its outcome; longer
// ones take their length besides.
//
// A record is invisible from the moment that its time is over. Its memory comes
// back without its key being touched again: later by at most 0.3 seconds, or by
// 1/32 of the time that the last verb gave the record, whichever is longer.
//
// # Costs
//
// Each verb takes one lock out of 64 for a fraction of a microsecond, reads the
// clock once, and copies what it is given and what it returns. A claim of a new
// key allocates its record, a commit the outcome, and a returned Record one piece
// of memory for all its slices, or none where they are empty. Who waits costs a
// timer, and those who wait for the same key one channel together; nothing is left
// behind when they leave.
//
// There is no goroutine. While there are records, one timer is armed for the
// next that are to be forgotten; an empty store owns nothing. A store that is
// dropped without Close is collected with its records.
package memory
