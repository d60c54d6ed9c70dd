//go:build unix

package soak

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

// The policies; the first byte of a key is its policy.
const (
	policyRerun     = 'r'
	policyDetached  = 'd' // Rerun, with Detach
	policyFail      = 'f'
	policyReconcile = 'c'
)

const policies = "rrdffccc"

// pace is how the space of keys grows with time, so that all processes meet on
// the same keys without talking to each other.
type pace struct {
	Fresh int64 `json:"fresh"` // nanoseconds per new key
	Hot   int64 `json:"hot"`   // nanoseconds per new hot key
}

// pick chooses the key of a call: mostly one of the newest ones, sometimes one
// on which everybody is at once, sometimes one of long ago.
func (p pace) pick(random *rand.Rand, sinceStart int64) string {
	switch n := random.IntN(100); {
	case n < 30:
		return keyName("hot", sinceStart/p.Hot, random.Int64N(2))
	case n < 90:
		newest := sinceStart / p.Fresh
		return keyName("fresh", max(0, newest-random.Int64N(30)), 0)
	default:
		return keyName("fresh", random.Int64N(sinceStart/p.Fresh+1), 0)
	}
}

func keyName(sort string, n, m int64) string {
	name := fmt.Sprintf("%s-%d-%d", sort, n, m)
	return fmt.Sprintf("%c/%s", policies[hashOf(name)%uint32(len(policies))], name)
}

func policyOf(key string) byte { return key[0] }

func hashOf(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	s32 := h.Sum32()
	return s32 ^ s32>>15
}

// nature is what the action of a key does, the same in every process.
type nature struct {
	declined bool // the outcome is an error
	busy     int  // as many attempts end with a harmless error first
	large    bool // the outcome is too large for one command
}

func natureOf(key string) nature {
	h := hashOf("nature of " + key)
	n := nature{declined: h%4 == 0, large: h%16 == 1}
	if h>>8%6 == 0 {
		n.busy = 1 + int(h>>16%2)
	}
	return n
}

// padding makes an outcome large.
var padding = strings.Repeat("0123456789abcdef", 640)
