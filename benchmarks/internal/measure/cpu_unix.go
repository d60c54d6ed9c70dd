//go:build unix

package measure

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is how long this process has computed, in all its threads.
func CPUTime() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
