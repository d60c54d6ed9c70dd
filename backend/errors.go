package backend

import "errors"

// Errors that callers tell apart by errors.Is. Any other error of a Claim or a
// Commit means that nobody knows whether the request was applied.
var (
	// ErrSuperseded: the key isn't the token's any more (or never was); nothing
	// was changed.
	ErrSuperseded = errors.New("superseded: the key is not held by this token")
	// ErrTooLarge: the outcome is larger than the store takes; nothing was
	// changed, the sender is still the holder.
	ErrTooLarge = errors.New("too large for the store")
	// ErrInvalid: the request breaks a bound that this package names; nothing
	// was sent.
	ErrInvalid = errors.New("invalid request")
	// ErrCorrupt: what the store has under the key is no record that this
	// version can read (a foreign type, a broken or newer format). It must not be
	// run on, waited for or deleted; only Forget removes it.
	ErrCorrupt = errors.New("corrupt or foreign record")
	// ErrClosed: the backend was closed.
	ErrClosed = errors.New("backend is closed")
	// ErrNotApplied: the request had certainly no effect; it may be repeated.
	ErrNotApplied = errors.New("not applied")
	// ErrPermanent: the request had no effect and repeating it is useless until
	// somebody mends the set-up (authentication, permissions).
	ErrPermanent = errors.New("refused permanently")
)
