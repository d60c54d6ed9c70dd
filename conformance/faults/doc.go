// Package faults breaks the way between a client and its store on purpose: a
// request that never arrives, a reply that is lost, a request that arrives long
// after its sender gave up, a server that says nothing at all. Authors of
// backends put it into their tests to see what their code makes of each.
//
// There are two places to break.
//
//   - [Proxy] stands in the network between a client and a server and works on
//     bytes: it serves every client of every TCP server that answers requests in
//     order, such as Redis.
//   - [Injector] wraps a [backend.Backend] and works on its verbs: it needs no
//     server, and is what the tests of code above a backend use.
//
// Both take their faults from a function, from a script ("the second commit
// loses its reply"), or from both: the script is asked first. Both can hold a
// request back until the test says that it arrives now, so that a test of a late
// request needs no sleep.
package faults
