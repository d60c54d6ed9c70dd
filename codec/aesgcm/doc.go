// Package aesgcm is a [codec.Transform] that encrypts answers, values and error
// texts alike, with AES-256-GCM of the standard library.
//
// What is sealed is bound to its storage key, operation and fingerprint: an
// answer that somebody moves to another key, or changes by a bit, fails to open.
// What it doesn't hide are the record's key, fingerprint, state and times, the
// names of operation and codec, and the answer's length. It can't tell an old
// answer of a key from a newer one of the same key, operation and fingerprint.
//
// # Keys
//
// Keys have ids, so that they can be changed: [Options.Current] encrypts, and any
// of [Options.Keys] opens. To rotate: deploy the new key beside the old one; when
// every process has it, make it Current; when the retention is over, remove the
// old one. An answer whose key is gone can't be read, and the action doesn't run
// again for that.
//
// # Construction
//
// Each answer is encrypted under a key of its own, derived from the current key
// and 96 random bits, and with a random nonce of 96 bits more: the construction
// XAES-256-GCM of C2SP. With plain AES-256-GCM and random nonces a key must not
// encrypt more than 2^32 answers, which a fleet reaches within days; this one
// has no limit that can be reached.
//
// Nothing gets lost: Open gives the very bytes that Seal was given.
package aesgcm
