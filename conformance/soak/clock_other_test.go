//go:build unix && !linux

package soak

import "time"

// now is the time in nanoseconds, for all processes of a machine. A clock that is
// set while the soak runs spoils it.
func now() int64 { return time.Now().UnixNano() }
