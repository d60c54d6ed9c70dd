package wire

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/backend"
)

// A frame is a record as a Redis string. Integers are big-endian.
//
//	offset  bytes
//	0       1      magic 0xC1 (never a byte of UTF-8, nor of MessagePack)
//	1       1      version << 4 | state
//	2       16     token
//	18      4      attempt
//	22      7      fence, 1 to 1<<53 - 1
//	29      1      length of the fingerprint, at most 64
//	30      2      length of the metadata, at most 4096
//	32      5      keep in milliseconds, at least 1; absent where completed
//	        ...    fingerprint, metadata, and where completed the outcome
//
// State is 0 released, 1 claimed, 2 ended by Abandon, 3 completed: the values
// of backend.State. The key's TTL is lease + keep where claimed, keep where
// released or abandoned, the retention where completed. A lease that lapsed is
// a claimed frame with at most keep left to live. frame.lua checks the same.
const (
	magic   = 0xC1
	version = 1

	offState       = 1
	offToken       = 2
	offAttempt     = 18
	offFence       = 22
	offFingerprint = 29
	offMetadata    = 30
	offKeep        = 32
	sizeDone       = 32 // header of a completed frame
	sizeKeep       = 5
	maxKeep        = 1<<(8*sizeKeep) - 1
)

// AppendClaim appends the frame that the request's key gets where it is unknown
// to the store. The claim script takes from it what it needs in other cases.
func AppendClaim(dst []byte, request *backend.ClaimRequest) []byte {
	attempt := uint32(1)
	if request.Renewal {
		attempt = request.Attempt
	}
	if dst == nil {
		dst = make([]byte, 0, sizeDone+sizeKeep+len(request.Fingerprint)+len(request.Metadata))
	}
	return appendFrame(dst, backend.Claimed, request.Token, attempt, request.Fence,
		request.Keep, request.Fingerprint, request.Metadata, nil)
}

// AppendCommit appends the frame that the request leaves where the key is
// unknown to the store. The commit scripts take from it what they need in other
// cases.
func AppendCommit(dst []byte, request *backend.CommitRequest) []byte {
	state := backend.Completed
	switch request.Ending {
	case backend.Release:
		state = backend.Vacant
	case backend.Abandon:
		state = backend.Abandoned
	}
	if dst == nil {
		dst = make([]byte, 0, sizeDone+sizeKeep+len(request.Fingerprint)+len(request.Metadata)+len(request.Outcome))
	}
	return appendFrame(dst, state, request.Token, request.Attempt, request.Fence,
		request.Keep, request.Fingerprint, request.Metadata, request.Outcome)
}

// CommitHead is the length of a completed frame without its outcome.
func CommitHead(request *backend.CommitRequest) int {
	return sizeDone + len(request.Fingerprint) + len(request.Metadata)
}

func appendFrame(dst []byte, state backend.State, token backend.Token, attempt uint32, fence uint64,
	keep time.Duration, fingerprint, metadata, outcome []byte,
) []byte {
	dst = append(dst, magic, version<<4|byte(state))
	dst = append(dst, token[:]...)
	dst = appendUint(dst, uint64(attempt), 4)
	dst = appendUint(dst, max(fence, 1), 7)
	dst = append(dst, byte(len(fingerprint)))
	dst = appendUint(dst, uint64(len(metadata)), 2)
	if state != backend.Completed {
		dst = appendUint(dst, uint64(backend.Milliseconds(keep)), sizeKeep)
	}
	dst = append(dst, fingerprint...)
	dst = append(dst, metadata...)
	return append(dst, outcome...)
}

// Decode reads a frame into a record, whose slices are copies, and its keep,
// which is zero where the frame is completed. State is what the frame says: a
// lease that lapsed is told by the TTL alone, see [ReadLook]. Whatever is not a
// frame of this version is [backend.ErrCorrupt].
func Decode[B ~string | ~[]byte](frame B) (record backend.Record, keep time.Duration, err error) {
	h, err := parse(frame)
	if err != nil {
		return backend.Record{}, 0, err
	}
	return fill(h, frame[:h.size], append([]byte(nil), frame[h.size:]...)),
		time.Duration(h.keep) * time.Millisecond, nil
}

// Adopt is Decode without a copy: the frame becomes the record's, and nobody
// else may keep it.
func Adopt(frame []byte) (record backend.Record, keep time.Duration, err error) {
	h, err := parse(frame)
	if err != nil {
		return backend.Record{}, 0, err
	}
	return fill(h, frame[:h.size], frame[h.size:len(frame):len(frame)]),
		time.Duration(h.keep) * time.Millisecond, nil
}

func fill[B ~string | ~[]byte](h header, head B, body []byte) backend.Record {
	record := backend.Record{State: h.state, Attempt: h.attempt, Fence: h.fence}
	copy(record.Token[:], head[offToken:offAttempt])
	f, m := h.fingerprint, h.fingerprint+h.metadata
	if f > 0 {
		record.Fingerprint = body[:f:f]
	}
	if m > f {
		record.Metadata = body[f:m:m]
	}
	if len(body) > m {
		record.Outcome = body[m:]
	}
	return record
}

type header struct {
	state                 backend.State
	size                  int // of the header
	attempt               uint32
	fence                 uint64
	fingerprint, metadata int
	keep                  uint64
}

func parse[B ~string | ~[]byte](frame B) (h header, err error) {
	if len(frame) < 2 || frame[0] != magic {
		return h, corrupt("is not a record")
	}
	if v := frame[offState] >> 4; v != version {
		return h, corrupt("is a record of version %d, this library reads %d", v, version)
	}
	h.state, h.size = backend.State(frame[offState]&0xF), sizeDone
	if h.state > backend.Completed {
		return h, corrupt("has no known state")
	}
	if h.state != backend.Completed {
		h.size += sizeKeep
	}
	if len(frame) < h.size {
		return h, corrupt("is truncated")
	}
	var token byte
	for i := offToken; i < offAttempt; i++ {
		token |= frame[i]
	}
	h.attempt = uint32(readUint(frame[offAttempt:offFence]))
	h.fence = readUint(frame[offFence:offFingerprint])
	h.fingerprint = int(frame[offFingerprint])
	h.metadata = int(readUint(frame[offMetadata:offKeep]))
	if h.state != backend.Completed {
		h.keep = readUint(frame[offKeep : offKeep+sizeKeep])
	}
	body := len(frame) - h.size - h.fingerprint - h.metadata
	switch {
	case token == 0:
		return h, corrupt("has no token")
	case h.fence == 0 || h.fence >= backend.MaxFence:
		return h, corrupt("has a fence out of bounds")
	case h.fingerprint > backend.MaxFingerprint || h.metadata > backend.MaxMetadata:
		return h, corrupt("has a length out of bounds")
	case body < 0:
		return h, corrupt("is truncated")
	case body > 0 && h.state != backend.Completed:
		return h, corrupt("has bytes behind its end")
	case h.keep == 0 && h.state != backend.Completed:
		return h, corrupt("has no keep")
	}
	return h, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("value "+format+": %w", append(args, backend.ErrCorrupt)...)
}

func appendUint(dst []byte, v uint64, bytes int) []byte {
	for i := bytes - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func putUint(dst []byte, v uint64) {
	for i := range dst {
		dst[i] = byte(v >> (8 * (len(dst) - 1 - i)))
	}
}

func readUint[B ~string | ~[]byte](b B) (v uint64) {
	for i := range len(b) {
		v = v<<8 | uint64(b[i])
	}
	return v
}
