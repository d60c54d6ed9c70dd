package wire

import (
	"fmt"

	"github.com/reprise-go/reprise/backend"
)

// How the scripts wake waiters: ARGV[3] of the commit scripts and ARGV[1] of the
// forget script. Which one is the server's to say: sharded in a cluster (HELLO
// answers mode "cluster"), plain everywhere else. A SUBSCRIBE doesn't hear an
// SPUBLISH, so all clients of a fleet must agree.
const (
	Publish        = "PUBLISH"
	PublishSharded = "SPUBLISH"
)

const (
	// LargeOutcome is the size in bytes from which an outcome is committed
	// through a side key: Lua would copy it more than once.
	LargeOutcome = 8 << 10
	// SidePX is the TTL of a side key in milliseconds: much longer than the way
	// to the script behind it in the same pipeline.
	SidePX = 10_000
)

// CommitSideMissing is the reply of the large commit script that didn't find its
// side key; nothing was changed.
const CommitSideMissing = 2

// CommitPX is ARGV[2] of the commit scripts: the TTL in milliseconds of what the
// request leaves.
func CommitPX(request *backend.CommitRequest) int64 {
	if request.Ending == backend.Complete {
		return backend.Milliseconds(request.Retention)
	}
	return backend.Milliseconds(request.Keep)
}

// CommitHeld is ARGV[4] of the commit scripts.
func CommitHeld(request *backend.CommitRequest) string {
	if request.LeaseHeld {
		return "1"
	}
	return "0"
}

// Large tells whether the request should go through a side key.
func Large(request *backend.CommitRequest) bool { return len(request.Outcome) >= LargeOutcome }

// ReadCommit reads the reply of a commit script.
func ReadCommit(reply int64) error {
	switch reply {
	case 0:
		return backend.ErrSuperseded
	case 1:
		return nil
	default:
		return fmt.Errorf("commit script answered %d", reply)
	}
}
