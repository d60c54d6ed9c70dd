//go:build !unix

package measure

import "time"

// CPUTime isn't known on this system.
func CPUTime() time.Duration { return 0 }
