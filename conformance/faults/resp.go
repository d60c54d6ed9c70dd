package faults

import (
	"bytes"
	"strconv"
)

// WholeRESP tells whether the bytes are whole requests of the Redis protocol,
// for [ProxyOptions.Complete]. Bytes that are no such requests (inline commands,
// another protocol) count as whole.
func WholeRESP(buffered []byte) bool {
	for len(buffered) > 0 {
		if buffered[0] != '*' {
			return true
		}
		count, rest, ok := respLength(buffered)
		if !ok {
			return false
		}
		for range count {
			if len(rest) == 0 {
				return false
			}
			if rest[0] != '$' {
				return true
			}
			size, body, ok := respLength(rest)
			if !ok || len(body) < size+2 {
				return false
			}
			rest = body[size+2:]
		}
		buffered = rest
	}
	return true
}

// respLength reads the "*3\r\n" or "$5\r\n" at the start of data.
func respLength(data []byte) (n int, rest []byte, ok bool) {
	line, rest, found := bytes.Cut(data[1:], []byte("\r\n"))
	if !found {
		return 0, nil, false
	}
	n, err := strconv.Atoi(string(line))
	if err != nil || n < 0 {
		return 0, rest, true
	}
	return n, rest, true
}
