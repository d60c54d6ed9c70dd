package soak

import (
	"syscall"
	"time"
	"unsafe"
)

// now is CLOCK_MONOTONIC in nanoseconds: one clock for all processes of a
// machine, which nobody sets.
func now() int64 {
	const clockMonotonic = 1
	var ts syscall.Timespec
	_, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}
