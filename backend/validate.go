package backend

import (
	"fmt"
	"time"
)

// CheckKey returns an [ErrInvalid] unless the key has between 1 and [MaxKey]
// bytes.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("backend: key has %d bytes, want 1 to %d: %w", len(key), MaxKey, ErrInvalid)
	}
	return nil
}

// Check returns an [ErrInvalid] that names the first field of the request that
// is out of its bounds. Backends call it before they do anything.
func (r *ClaimRequest) Check() error {
	if r.Token.IsZero() {
		return invalid("ClaimRequest.Token is zero")
	}
	if err := checkDuration("ClaimRequest.Lease", r.Lease); err != nil {
		return err
	}
	if err := checkDuration("ClaimRequest.Keep", r.Keep); err != nil {
		return err
	}
	if r.Fence >= MaxFence {
		return invalid("ClaimRequest.Fence is %d, want less than 1<<53", r.Fence)
	}
	if r.Seen >= MaxFence {
		return invalid("ClaimRequest.Seen is %d, want less than 1<<53", r.Seen)
	}
	if r.Renewal && r.Fence == 0 {
		return invalid("ClaimRequest.Fence is zero in a renewal, want the fence that is held")
	}
	if r.Renewal && r.Attempt == 0 {
		return invalid("ClaimRequest.Attempt is zero in a renewal, want the attempt that is held")
	}
	return checkSlices("ClaimRequest", r.Fingerprint, r.Metadata)
}

// Check returns an [ErrInvalid] that names the first field of the request that
// is out of its bounds. Backends call it before they do anything. It says
// nothing of the outcome's size: how much a store takes is the store's to say.
func (r *CommitRequest) Check() error {
	if r.Token.IsZero() {
		return invalid("CommitRequest.Token is zero")
	}
	switch r.Ending {
	case Complete:
		if err := checkDuration("CommitRequest.Retention", r.Retention); err != nil {
			return err
		}
	case Release, Abandon:
		if err := checkDuration("CommitRequest.Keep", r.Keep); err != nil {
			return err
		}
		if len(r.Outcome) > 0 {
			return invalid("CommitRequest.Outcome has %d bytes, want none with %s", len(r.Outcome), r.Ending)
		}
	default:
		return invalid("CommitRequest.Ending is %d, want Complete, Release or Abandon", r.Ending)
	}
	if r.Fence >= MaxFence {
		return invalid("CommitRequest.Fence is %d, want less than 1<<53", r.Fence)
	}
	return checkSlices("CommitRequest", r.Fingerprint, r.Metadata)
}

// Milliseconds is d in whole milliseconds, rounded up: a store that counts in
// milliseconds never ends a lease early, and never rounds one down to nothing.
func Milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

func checkDuration(field string, d time.Duration) error {
	if d < MinDuration || d > MaxDuration {
		return invalid("%s is %v, want %v to %v", field, d, MinDuration, MaxDuration)
	}
	return nil
}

func checkSlices(request string, fingerprint, metadata []byte) error {
	if len(fingerprint) > MaxFingerprint {
		return invalid("%s.Fingerprint has %d bytes, want at most %d", request, len(fingerprint), MaxFingerprint)
	}
	if len(metadata) > MaxMetadata {
		return invalid("%s.Metadata has %d bytes, want at most %d", request, len(metadata), MaxMetadata)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("backend: "+format+": %w", append(args, ErrInvalid)...)
}
