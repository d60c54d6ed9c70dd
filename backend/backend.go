package backend

import (
	"context"
	"time"
)

// Bounds of what a backend is given.
const (
	// MaxKey is the length of the longest storage key in bytes. Keys may hold
	// any bytes and are compared byte by byte; the shortest has one byte.
	MaxKey = 1024
	// MaxFingerprint is the length of the longest fingerprint in bytes.
	MaxFingerprint = 64
	// MaxMetadata is the length of the longest metadata in bytes.
	MaxMetadata = 4 << 10
	// MaxOutcome is the length in bytes of the longest outcome that every
	// backend takes, unless it answers [ErrTooLarge]. It may take longer ones.
	MaxOutcome = 1 << 20
	// MaxFence bounds fences: every fence is below it, so that stores that
	// count in floating point (Redis' Lua, JSON) count exactly.
	MaxFence = 1 << 53
	// MinDuration and MaxDuration bound Lease, Keep and Retention.
	MinDuration = time.Millisecond
	MaxDuration = 10 * 365 * 24 * time.Hour
	// MaxSleep is the longest that Wait may sleep without looking at the record.
	MaxSleep = 10 * time.Second
)

// Token names one attempt: 128 random bits. A token is never used for another
// attempt; the zero Token names nobody.
type Token [16]byte

// IsZero tells whether the token names nobody.
func (t Token) IsZero() bool { return t == Token{} }

// State is what is known of a key. The package comment says what each means.
type State uint8

const (
	// Vacant: unknown to the store, forgotten, or released.
	Vacant State = iota
	// Claimed: an attempt holds the key under a lease that is running.
	Claimed
	// Abandoned: the lease ended without a commit; nobody knows what happened.
	Abandoned
	// Completed: the key has its outcome.
	Completed
)

// String is the state's name in lower case.
func (s State) String() string {
	switch s {
	case Vacant:
		return "vacant"
	case Claimed:
		return "claimed"
	case Abandoned:
		return "abandoned"
	case Completed:
		return "completed"
	default:
		return "unknown state"
	}
}

// ClaimRequest asks for a key, or extends the lease of one that is held
// (Renewal). Its slices may be reused by the caller once Claim has returned.
type ClaimRequest struct {
	// Token is the caller's, required. One token for one intention: a repeated
	// send keeps it, a claim with another Seen gets another token.
	Token Token
	// Lease is how long after the store applied the request the lease ends.
	// Required, between MinDuration and MaxDuration.
	Lease time.Duration
	// Keep is how long an abandoned or released record stays. Required, with the
	// bounds of Lease. Stored when the key is taken (and by a renewal into an
	// unknown key), otherwise ignored.
	Keep time.Duration
	// Seen is the fence of the vacant or abandoned record that the caller looked
	// at and means to take; zero where the key must be unknown to the store.
	Seen uint64
	// Renewal: the caller holds the key by Token and extends its lease. Nothing
	// is taken from anybody; Seen is ignored.
	Renewal bool
	// Fence is, when taking, the least fence that the holder may get: the
	// caller's clock in microseconds since 1970, read anew at each send. For a
	// renewal it is the fence that is held, at least 1. Below MaxFence.
	Fence uint64
	// Attempt is, for a renewal, the attempt that is held, at least 1. Ignored
	// when taking.
	Attempt uint32
	// Fingerprint (at most MaxFingerprint bytes) is stored when the key is taken
	// and by a renewal into an unknown key. The backend does not compare it.
	Fingerprint []byte
	// Metadata (at most MaxMetadata bytes) is stored like Fingerprint. To the
	// backend it is opaque.
	Metadata []byte
}

// Ending is how a claim ends. The zero Ending is invalid.
type Ending uint8

const (
	// Complete records an outcome.
	Complete Ending = iota + 1
	// Release says that nothing happened: the key is vacant, for everybody.
	Release
	// Abandon says that nobody knows what happened: the lease ends at once.
	Abandon
)

// String is the ending's name in lower case.
func (e Ending) String() string {
	switch e {
	case Complete:
		return "complete"
	case Release:
		return "release"
	case Abandon:
		return "abandon"
	default:
		return "unknown ending"
	}
}

// CommitRequest ends a claim. Its slices may be reused by the caller once Commit
// has returned.
type CommitRequest struct {
	// Token is the one that the key was claimed by, required.
	Token Token
	// Ending says how the claim ends, required.
	Ending Ending
	// Outcome is recorded by Complete; it must be empty otherwise. An empty
	// outcome is an outcome. It is opaque to the backend, may hold any bytes and
	// be up to MaxOutcome bytes long.
	Outcome []byte
	// Retention is how long a completed record stays; required by Complete, with
	// the bounds of ClaimRequest.Lease, and ignored otherwise.
	Retention time.Duration
	// Keep is how long a released or abandoned record stays; required by Release
	// and Abandon, with the bounds of ClaimRequest.Lease, and ignored otherwise.
	Keep time.Duration
	// LeaseHeld: the sender was told that it holds the key, and the lease that
	// the answered request set had not ended, by the sender's own clock, when
	// this request was sent. It is never true for a claim of unknown outcome. It
	// matters only where the key is unknown to the store: nobody can have
	// overtaken the sender, so the store has forgotten the claim.
	LeaseHeld bool
	// Fingerprint, Metadata, Attempt and Fence are those of the claim. They are
	// stored only where the key is unknown to the store. Attempt and Fence may be
	// zero where the sender was never told; an Attempt of zero is stored as it is,
	// and the next taking is attempt 1.
	Fingerprint []byte
	Metadata    []byte
	Attempt     uint32
	Fence       uint64
}

// Record is what the store knows of a key. The zero Record is an unknown key.
// Its slices belong to whoever called the verb that returned it.
type Record struct {
	// State is the record's state at a moment during the call.
	State State
	// Token is the holder's, the last holder's, or that of who committed.
	Token Token
	// Attempt is 1 for the first holder of the key and one more for each later
	// one; it survives release and takeover.
	Attempt uint32
	// Fence is the holder's fencing token; it grows strictly from holder to
	// holder.
	Fence uint64
	// Fingerprint and Metadata are those of the holder's claim.
	Fingerprint []byte
	Metadata    []byte
	// Outcome is that of a completed record. Nil and empty are the same.
	Outcome []byte
	// LeaseLeft is how long the lease of a claimed record still runs. It is set
	// by Wait and Fetch, and by a Claim that lost, and greater than zero there.
	LeaseLeft time.Duration
	// Remaining is how long the store still keeps the record: set by Fetch. For a
	// claimed record it is LeaseLeft and the Keep after it. Other verbs may set it
	// too.
	Remaining time.Duration
}

// Unknown tells whether the store knows nothing of the key: a released key has
// a fence, an unknown one has none.
func (r Record) Unknown() bool { return r.State == Vacant && r.Fence == 0 }

// Backend keeps records. The package comment is its contract.
type Backend interface {
	// Claim takes the key for request.Token, or extends its lease, and returns
	// the record as it stands afterwards.
	Claim(ctx context.Context, key string, request ClaimRequest) (Record, error)
	// Commit ends the claim that request.Token has on the key. A nil error means
	// that the ending is the record's, whichever send of it was applied.
	Commit(ctx context.Context, key string, request CommitRequest) error
	// Wait returns once the key isn't held by token under a live lease.
	Wait(ctx context.Context, key string, token Token) (Record, error)
	// Fetch reads the record.
	Fetch(ctx context.Context, key string) (Record, error)
}

// Forgetter is implemented by backends that can make a key unknown.
type Forgetter interface {
	// Forget removes what the store knows of the key, in whatever state and
	// however broken it is, and wakes everybody who waits for it. Forgetting an
	// unknown key is no error.
	Forget(ctx context.Context, key string) error
}
